// The calls of both npm clients of Log Service, one line of JSON for each: {"call", "said", "wrong"}.
//
//     node sls-node.js log|openapi ENDPOINT [v4]
//
// `log` is @alicloud/log, `openapi` is @alicloud/sls20201230. Reads KEY_ID, KEY_SECRET. Neither knows proxy variables: the
// project's name in front of ENDPOINT (NAME:PORT) has to resolve to the service.
"use strict";

const [which, endpoint, signature] = process.argv.slice(2);
const { KEY_ID, KEY_SECRET } = process.env;
const project = "node-project";
const store = "node-logs";
const now = Math.floor(Date.now() / 1000);

async function call(name, make, want, refused) {
  let said = "";
  let wrong = null;
  try {
    const got = await make();
    said = JSON.stringify(got) ?? "";
    if (refused) wrong = `accepted, want ${refused}`;
    else if (want !== undefined && said !== JSON.stringify(want)) wrong = `got ${said.slice(0, 300)}, want ${JSON.stringify(want)}`;
  } catch (error) {
    if (refused && error.code === refused) said = `refused: ${refused}`;
    else wrong = `${error.code ?? error.name}: ${error.message}`.slice(0, 300);
  }
  console.log(JSON.stringify({ call: name, said: said.slice(0, 200), wrong }));
}

// What is put becomes visible a little later.
async function until(make) {
  for (const deadline = Date.now() + 20000; ; ) {
    const got = await make();
    if (got || Date.now() > deadline) return got;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const index = () => ({
  line: { token: [",", " ", ";"], caseSensitive: false, chn: false },
  keys: { n: { type: "long", doc_value: true }, level: { type: "text", token: [" "], caseSensitive: false, chn: false, doc_value: true } },
});

async function logClient() {
  const Client = require("@alicloud/log");
  const client = new Client({ accessKeyId: KEY_ID, accessKeySecret: KEY_SECRET, endpoint });
  const stranger = new Client({ accessKeyId: KEY_ID, accessKeySecret: "wrong", endpoint });
  const [from, to] = [new Date((now - 60) * 1000), new Date((now + 60) * 1000)];
  const nothing = async (made) => void (await made);

  await call("createProject", () => nothing(client.createProject(project, { description: "of Node" })));
  await call("createProject twice", () => client.createProject(project, { description: "" }), undefined, "ProjectAlreadyExist");
  await call("getProject", async () => (await client.getProject(project)).description, "of Node");
  await call("createLogStore", () => nothing(client.createLogStore(project, store, { ttl: 7, shardCount: 2 })));
  await call("createLogStore twice", () => client.createLogStore(project, store, { ttl: 7, shardCount: 2 }), undefined, "LogStoreAlreadyExist");
  await call("getLogStore", async () => (await client.getLogStore(project, store)).ttl, 7);
  await call("listLogStore", async () => (await client.listLogStore(project)).logstores, [store]);
  await call("updateLogStore", () => nothing(client.updateLogStore(project, store, { ttl: 14, shardCount: 2 })));
  await call("getIndexConfig, none", () => client.getIndexConfig(project, store), undefined, "IndexConfigNotExist");
  await call("createIndex", () => nothing(client.createIndex(project, store, index())));
  await call("getIndexConfig", async () => Object.keys((await client.getIndexConfig(project, store)).keys).sort(), ["level", "n"]);
  await call("updateIndex", () => nothing(client.updateIndex(project, store, index())));
  const logs = [...Array(20).keys()].map((n) => ({
    timestamp: now, timestampNsPart: n, content: { n: String(n), level: n % 2 ? "error" : "info", msg: "hello 世界" },
  }));
  await call("postLogStoreLogs", () =>
    nothing(client.postLogStoreLogs(project, store, { logs, topic: "web", source: "10.0.0.9", tags: [{ env: "dev" }] })));
  await call("postLogStoreLogs, gone", () => client.postLogStoreLogs(project, "gone", { logs }), undefined, "LogStoreNotExist");
  await call("getLogs", async () => (await until(async () => (await client.getLogs(project, store, from, to, { query: "level: info", line: 100 })).length)), 10);
  await call("getLogs reverse", async () => (await client.getLogs(project, store, from, to, { query: "*", line: 1, reverse: true }))[0].n, "19");
  await call("getLogs SQL", async () => await client.getLogs(project, store, from, to, { query: "* | select count(1) as c" }), [{ c: "20" }]);
  await call("getHistograms", async () =>
    (await client.getHistograms(project, store, from, to, { query: "*" })).reduce((sum, bar) => sum + bar.count, 0), 20);
  await call("getProjectLogs", async () =>
    (await client.getProjectLogs(project, { query: `select count(1) as c from "${store}" where __time__ > ${now - 60} and __time__ < ${now + 60}` }))[0].c, "20");
  await call("getLogs, wrong key", () => stranger.getLogs(project, store, from, to), undefined, "SignatureNotMatch");
  await call("deleteIndex", () => nothing(client.deleteIndex(project, store)));
  await call("deleteLogStore", () => nothing(client.deleteLogStore(project, store)));
  await call("deleteProject", () => nothing(client.deleteProject(project)));
}

async function openApi() {
  const sls = require("@alicloud/sls20201230");
  const { $OpenApiUtil } = require("@alicloud/openapi-core");
  const signing = signature === "v4" ? { signatureVersion: "v4" } : {};
  const configured = (accessKeySecret) =>
    new sls.default(new $OpenApiUtil.Config({ accessKeyId: KEY_ID, accessKeySecret, endpoint, protocol: "http", regionId: "cn-local", ...signing }));
  const client = configured(KEY_SECRET);
  const name = `${project}-${signature ?? "v1"}`;
  const indexBody = () => new sls.Index({
    line: new sls.IndexLine({ token: [",", " "], caseSensitive: false, chn: false }),
    keys: { n: new sls.IndexKey({ type: "long", docValue: true }), level: new sls.IndexKey({ type: "text", token: [" "], docValue: true }) },
  });
  const nothing = async (made) => void (await made);
  const body = async (made) => (await made).body;

  await call("createProject", () => nothing(client.createProject(new sls.CreateProjectRequest({ projectName: name, description: "of Node" }))));
  await call("getProject", async () => (await body(client.getProject(name))).description, "of Node");
  await call("updateProject", () => nothing(client.updateProject(name, new sls.UpdateProjectRequest({ description: "changed" }))));
  await call("listProject, a page", async () =>
    (await body(client.listProject(new sls.ListProjectRequest({ offset: 0, size: 100 })))).projects.some((one) => one.projectName === name), true);
  await call("listProject", async () => (await body(client.listProject(new sls.ListProjectRequest({})))).projects.some((one) => one.projectName === name), true);
  await call("createLogStore", () => nothing(client.createLogStore(name, new sls.CreateLogStoreRequest({ logstoreName: store, ttl: 7, shardCount: 1 }))));
  await call("getLogStore", async () => (await body(client.getLogStore(name, store))).ttl, 7);
  await call("listLogStores", async () => (await body(client.listLogStores(name, new sls.ListLogStoresRequest({ offset: 0, size: 10 })))).logstores, [store]);
  await call("updateLogStore", () => nothing(client.updateLogStore(name, store, new sls.UpdateLogStoreRequest({ logstoreName: store, ttl: 14, shardCount: 1 }))));
  await call("createIndex", () => nothing(client.createIndex(name, store, new sls.CreateIndexRequest({ body: indexBody() }))));
  await call("getIndex", async () => Object.keys((await body(client.getIndex(name, store))).keys).sort(), ["level", "n"]);
  await call("updateIndex", () => nothing(client.updateIndex(name, store, new sls.UpdateIndexRequest({ body: indexBody() }))));
  await call("deleteIndex", () => nothing(client.deleteIndex(name, store)));
  // its own putLogs fails before it sends anything, whatever the service
  const Putter = require("@alicloud/log");
  const logs = [...Array(20).keys()].map((n) => ({ timestamp: now, content: { n: String(n), level: n % 2 ? "error" : "info" } }));
  await new Putter({ accessKeyId: KEY_ID, accessKeySecret: KEY_SECRET, endpoint }).postLogStoreLogs(name, store, { logs, topic: "web" });
  const span = { from: now - 60, to: now + 60, query: "*" };
  await call("getLogs", async () => (await until(async () => (await body(client.getLogs(name, store, new sls.GetLogsRequest({ ...span, line: 5 })))).length)), 5);
  await call("getLogsV2", async () => (await body(client.getLogsV2(name, store, new sls.GetLogsV2Request({ ...span, line: 10 })))).data.length, 10);
  await call("getHistograms", async () => (await body(client.getHistograms(name, store, new sls.GetHistogramsRequest(span)))).reduce((sum, bar) => sum + bar.count, 0), 20);
  await call("listShards", async () => (await body(client.listShards(name, store))).length, 1);
  const at = (from) => async () => (await body(client.getCursor(name, store, "0", new sls.GetCursorRequest({ type: "cursor", from })))).cursor;
  await call("getCursor", async () => typeof (await at("begin")()), "string");
  await call("getCursorTime", async () =>
    Math.abs((await body(client.getCursorTime(name, store, "0", new sls.GetCursorTimeRequest({ type: "cursor_time", cursor: await at("end")() })))).cursorTime - now) < 300, true);
  await call("splitShard", async () => (await body(client.splitShard(name, store, "0", new sls.SplitShardRequest({ action: "split", shardCount: 2 })))).length > 1, true);
  await call("mergeShard", async () => (await body(client.mergeShard(name, store, "1"))).length > 0, true);
  const consumers = "cg-1";
  await call("createConsumerGroup", () =>
    nothing(client.createConsumerGroup(name, store, new sls.CreateConsumerGroupRequest({ consumerGroup: consumers, timeout: 60, order: false }))));
  await call("listConsumerGroup", async () => (await body(client.listConsumerGroup(name, store))).map((one) => one.name), [consumers]);
  await call("updateConsumerGroup", () => nothing(client.updateConsumerGroup(name, store, consumers, new sls.UpdateConsumerGroupRequest({ timeout: 90, order: false }))));
  await call("consumerGroupHeartBeat", async () =>
    (await body(client.consumerGroupHeartBeat(name, store, consumers, new sls.ConsumerGroupHeartBeatRequest({ consumer: "c1", body: [] })))).length > 0, true);
  await call("consumerGroupUpdateCheckPoint", async () =>
    nothing(client.consumerGroupUpdateCheckPoint(name, store, consumers, new sls.ConsumerGroupUpdateCheckPointRequest({
      consumer: "c1", forceSuccess: true, shard: 0, checkpoint: await at("begin")() }))));
  await call("getCheckPoint", async () => (await body(client.getCheckPoint(name, store, consumers, new sls.GetCheckPointRequest({})))).length > 0, true);
  await call("deleteConsumerGroup", () => nothing(client.deleteConsumerGroup(name, store, consumers)));
  await call("listLogStores, wrong key", () => configured("wrong").listLogStores(name, new sls.ListLogStoresRequest({})), undefined, "SignatureNotMatch");
  await call("deleteLogStore", () => nothing(client.deleteLogStore(name, store)));
  await call("deleteProject", () => nothing(client.deleteProject(name, new sls.DeleteProjectRequest({}))));
}

(which === "log" ? logClient() : openApi()).catch((error) => {
  console.error(error);
  process.exit(1);
});
