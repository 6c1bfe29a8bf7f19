// npm fluent-logger: sends COUNT records in one event mode, with or without acks, and tells how many calls came back good.
// usage: node fluent-logger.js PORT TAG MODE ack|no-ack COUNT [OPTIONS as JSON: security, tls, tlsOptions, path]
'use strict';
const logger = require('fluent-logger');

const [port, tag, eventMode, ack, count, more] = process.argv.slice(2);
const sender = logger.createFluentSender(tag, {
  host: '127.0.0.1', port: Number(port), eventMode, flushInterval: 20,
  requireAckResponse: ack === 'ack', ackResponseTimeout: 10000,
  enableReconnect: false,
  internalLogger: { info() {}, error: console.error },
  ...JSON.parse(more || '{}'),
});
sender.on('error', (error) => { console.error(error); process.exit(1); });

const emit = (number) => new Promise((resolve, reject) => {
  const time = number % 2 ? logger.EventTime.now() : new Date(); // both forms of time
  sender.emit('events', { number, text: `record ${number} 日志`, nested: { list: [1, null, true] } }, time,
    (error) => (error ? reject(error) : resolve()));
});

(async () => {
  let good = 0;
  if (eventMode === 'Message') {
    // this client answers one write with one ack event: one record at a time
    for (let n = 0; n < Number(count); n++) { await emit(n); good++; }
  } else {
    good = (await Promise.all(Array.from({ length: Number(count) }, (_, n) => emit(n)))).length;
  }
  sender.end(null, null, () => console.log(`good ${good}`));
})().catch((error) => { console.error(error); process.exit(1); });
