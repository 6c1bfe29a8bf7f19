// npm @fluent-org/logger: sends COUNT records in one event mode, with or without acks, and tells how many calls came back good.
// usage: node fluent-org-logger.js PORT TAG MODE ack|no-ack COUNT [OPTIONS as JSON: security, socket: { path, tls }]
'use strict';
const { FluentClient, EventTime } = require('@fluent-org/logger');

const [port, tag, eventMode, ack, count, more] = process.argv.slice(2);
const { socket, ...options } = JSON.parse(more || '{}');
const client = new FluentClient(tag, {
  eventMode, flushInterval: 20,
  socket: { host: '127.0.0.1', port: Number(port), timeout: 30000, ...socket },
  ack: ack === 'ack' ? { ackTimeout: 10000 } : undefined,
  disconnect: { waitForPending: true },
  ...options,
});

(async () => {
  const emits = Array.from({ length: Number(count) }, (_, number) =>
    client.emit('events', { number, text: `record ${number} 日志`, nested: { list: [1, null, true] } },
      number % 2 ? EventTime.now() : Date.now()));
  const good = (await Promise.all(emits)).length;
  await client.disconnect();
  console.log(`good ${good}`);
})().catch((error) => { console.error(error); process.exit(1); });
