// Renders the templates of a Helm chart as Helm does, as far as our chart goes: Go's text/template, missing values as nothing,
// partials by include, and the few functions below, which mean what Helm's and Sprig's of the same names mean. A chart that
// calls another one fails here, which keeps the chart plain.
//
//	chart DIRECTORY <values.json      {"Values": ..., "Chart": ..., "Release": ...}, complete
//
// Prints {"file": "text", ...}. Ends with 1 and the reason where a template fails.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"text/template"
)

func main() {
	texts, err := render(os.Args[1])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(texts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func render(chart string) (map[string]string, error) {
	var values map[string]any
	numbers := json.NewDecoder(os.Stdin)
	numbers.UseNumber()
	if err := numbers.Decode(&values); err != nil {
		return nil, err
	}
	all := template.New("chart").Option("missingkey=zero")
	execute := func(name string, data any) (string, error) {
		var text bytes.Buffer
		err := all.ExecuteTemplate(&text, name, data)
		return strings.ReplaceAll(text.String(), "<no value>", ""), err
	}
	all.Funcs(template.FuncMap{
		"include":   execute,
		"quote":     func(value any) string { return fmt.Sprintf("%q", fmt.Sprint(value)) },
		"sha256sum": func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) },
		"toYaml":    func(value any) string { return strings.TrimSuffix(yaml(value, ""), "\n") },
		"nindent": func(count int, text string) string {
			blanks := strings.Repeat(" ", count)
			return "\n" + blanks + strings.ReplaceAll(text, "\n", "\n"+blanks)
		},
		"default": func(other, value any) any {
			if isEmpty(value) {
				return other
			}
			return value
		},
		"required": func(what string, value any) (any, error) {
			if value == nil || value == "" {
				return nil, errors.New(what)
			}
			return value, nil
		},
	})
	files, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("%s has no templates: %v", chart, err)
	}
	if _, err := all.ParseFiles(files...); err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "_") {
			continue
		}
		if texts[name], err = execute(name, values); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

func isEmpty(value any) bool {
	truth, ok := template.IsTrue(value)
	return value == nil || ok && !truth
}

// Block style for what has members, as Helm writes it; JSON, which is YAML, for the rest.
func yaml(value any, indent string) string {
	switch value := value.(type) {
	case map[string]any:
		if len(value) == 0 {
			return "{}\n"
		}
		keys := make([]string, 0, len(value))
		for key := range value {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		text := ""
		for at, key := range keys {
			if at > 0 {
				text += indent
			}
			text += plain(key) + ":" + member(value[key], indent)
		}
		return text
	case []any:
		if len(value) == 0 {
			return "[]\n"
		}
		text := ""
		for at, item := range value {
			if at > 0 {
				text += indent
			}
			text += "- " + yaml(item, indent+"  ")
		}
		return text
	}
	return plain(value) + "\n"
}

func member(value any, indent string) string {
	kind := reflect.ValueOf(value)
	if (kind.Kind() == reflect.Map || kind.Kind() == reflect.Slice) && kind.Len() > 0 {
		return "\n" + indent + "  " + yaml(value, indent+"  ")
	}
	return " " + yaml(value, indent)
}

func plain(value any) string {
	text, _ := json.Marshal(value)
	return string(text)
}
