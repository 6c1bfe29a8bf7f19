// The Go library (the one inside Docker): sends COUNT records and prints how many posts came back without an error.
// usage: go-client -network tcp|tls|unix [-port N] [-path SOCKET] [-json] [-ack] [-subsecond] [-async] -tag TAG -count N
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/fluent/fluent-logger-golang/fluent"
)

func main() {
	network := flag.String("network", "tcp", "")
	port := flag.Int("port", 0, "")
	path := flag.String("path", "", "")
	asJSON := flag.Bool("json", false, "")
	ack := flag.Bool("ack", false, "")
	subSecond := flag.Bool("subsecond", false, "")
	async := flag.Bool("async", false, "")
	tag := flag.String("tag", "", "")
	count := flag.Int("count", 0, "")
	flag.Parse()

	logger, err := fluent.New(fluent.Config{
		FluentNetwork: *network, FluentHost: "127.0.0.1", FluentPort: *port, FluentSocketPath: *path,
		MarshalAsJSON: *asJSON, RequestAck: *ack, SubSecondPrecision: *subSecond,
		Async: *async, BufferLimit: *count, RetryWait: 10, MaxRetry: 5,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	good := 0
	for number := 0; number < *count; number++ {
		record := map[string]interface{}{
			"number": number, "text": fmt.Sprintf("record %d \"日志\" \\ \u2028", number), "float": 1.5, "nil": nil, "true": true,
			"nested": map[string]interface{}{"list": []int{1, 2}},
		}
		if err := logger.PostWithTime(*tag, time.Now(), record); err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		good++
	}
	if err := logger.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	fmt.Println("good", good)
}
