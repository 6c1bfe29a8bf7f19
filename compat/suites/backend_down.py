"""The backend is away for a while, under load: nothing is lost, senders wait only at the quota, and nothing calls itself ill."""

import collections

from harness.fake_service import FakeService
from harness.forward import AckedSender
from harness.wait import equal, wait_until

TIME_LIMIT = 240

# a small batch age, so that an outage holds many LogGroups
QUICK = {"batch_age": "100ms", "request_timeout": "2s"}


def fake_service(case):
    service = FakeService().up()
    case.defer(service.close)
    case.defer(service.hold.set)
    return service


def senders_of(case, gateway, tags, **options):
    senders = [AckedSender(gateway.forward, tag.replace(".", "-"), tag, window=32, **options) for tag in tags]
    for sender in senders:
        sender.start()
        case.defer(sender.abandon)
    return senders


def acked(senders):
    return sum(len(sender.acked) for sender in senders)


def well(gateway):
    """Health and status stay good whatever the backend does."""
    equal("/healthz", gateway.http("/healthz")[0], 200)
    code, text = gateway.status()
    equal(f"exit code of status, which says {text!r}", code, 0)


def buffered(gateway):
    """Bytes that wait to be delivered; the ids of messages, which are remembered for their window, are none of them."""
    samples = gateway.metrics().items()
    return sum(size for name, size in samples if name.startswith("sluicegate_buffer_bytes") and '"chunks"' not in name)


def everything_arrived(gateway, service, senders):
    """All that was acknowledged is there, each series is in order, nothing is kept back."""
    for sender in senders:
        sender.finish()
    want = {(sender.name, number) for sender in senders for number in sender.acked}
    wait_until("every acknowledged record", lambda: want <= {(r["sender"], int(r["number"])) for r in service.records()}, 90, 0.2)
    for prefix, records in service.series().items():
        numbers = collections.defaultdict(list)
        for record in records:
            numbers[record["sender"]].append(int(record["number"]))
        for sender, of_sender in numbers.items():
            equal(f"order of {sender} in series {prefix}", of_sender, sorted(set(of_sender)))
    wait_until("the buffer shrinks to nothing", lambda: buffered(gateway) == 0)
    equal("complaints of the service", service.complaints, [])


def outage(case, cut, repair, count=4):
    service = fake_service(case)
    gateway = case.gateway({"destinations": {"cloud": service.destination(**QUICK)}})
    senders = senders_of(case, gateway, [f"app.{i}" for i in range(count)], pause=0.002)
    wait_until("the first records", service.records)
    cut(service)
    before, attempts = acked(senders), service.attempts
    for step in range(1, 6):
        wait_until("senders go on below the quota", lambda: acked(senders) > before + step * 300)
        well(gateway)
    wait_until("it is buffered", lambda: buffered(gateway) > 100_000)
    repair(service)
    everything_arrived(gateway, service, senders)
    well(gateway)
    return service, attempts


def test_answers_500(case):
    def cut(service):
        service.status = 500

    def repair(service):
        service.status = 200

    service, attempts = outage(case, cut, repair)
    if service.attempts <= attempts + 1:
        raise AssertionError("it did not try again during the outage")


def test_refuses_connections(case):
    outage(case, FakeService.down, FakeService.up)


def test_never_answers(case):
    outage(case, lambda service: service.hold.clear(), lambda service: service.hold.set())


def test_requests_run_side_by_side(case):
    """At least two requests in flight for one destination, and not more than it may have."""
    service = fake_service(case)
    gateway = case.gateway({"destinations": {"cloud": service.destination(batch_age="50ms", batch_bytes="16KiB", in_flight=4)}})
    service.hold.clear()
    senders = senders_of(case, gateway, ["app.a", "app.b"], records_per_chunk=20)
    wait_until("several requests wait", lambda: service.most_at_once >= 2)
    service.hold.set()
    everything_arrived(gateway, service, senders)
    if service.most_at_once > 4:
        raise AssertionError(f"{service.most_at_once} requests at once, 4 are allowed")


def test_block_at_the_quota(case):
    """Senders of the stuck destination stop when its quota is reached, those of the other one never notice."""
    stuck, fine = fake_service(case), fake_service(case)
    gateway = case.gateway({
        "destinations": {"stuck": stuck.destination(**QUICK), "fine": fine.destination(**QUICK)},
        "default_destination": "fine",
        "buffers": {"default": {"max_bytes": "1MiB", "on_full": "block"}},
        "routes": [{"match": "stuck.**", "destination": "stuck"}],
    })
    stuck.down()
    blocked = senders_of(case, gateway, ["stuck.a", "stuck.b"], records_per_chunk=10, padding=300)
    free = senders_of(case, gateway, ["free.a"], pause=0.005)
    wait_until("the quota stops its senders", lambda: all(sender.blocked_for() > 2 for sender in blocked), 60)
    held = acked(blocked) * 300
    if not 400_000 < held < 4_000_000:
        raise AssertionError(f"{held} bytes of text were taken below a quota of 1 MiB")
    before = acked(free)
    wait_until("the other sender goes on", lambda: acked(free) > before + 100)
    well(gateway)
    status = gateway.status()[1] + gateway.http("/status")[1]
    if "stuck" not in status:
        raise AssertionError(f"status does not name the destination that blocks: {status}")
    stuck.up()
    everything_arrived(gateway, stuck, blocked)
    everything_arrived(gateway, fine, free)


def test_evict_oldest(case):
    """The other choice: nobody waits, the oldest goes, and every dropped record is counted."""
    service = fake_service(case)
    gateway = case.gateway({
        # requests far smaller than the quota: what is in one cannot be evicted
        "destinations": {"cloud": service.destination(**QUICK, batch_bytes="32KiB", in_flight=2)},
        "buffers": {"default": {"max_bytes": "1MiB", "on_full": "evict_oldest"}},
        "journal": {"segment_bytes": "64KiB"},
    })
    service.down()
    (sender,) = senders_of(case, gateway, ["app.a"], records_per_chunk=10, padding=300)
    wait_until("far more than the quota is taken", lambda: len(sender.acked) > 15_000, 60)
    well(gateway)
    sender.finish()
    service.up()
    wait_until("the buffer is empty", lambda: buffered(gateway) == 0, 90)
    arrived, evicted = {int(r["number"]) for r in service.records()}, gateway.metric("sluicegate_dropped_records_total")
    missing = sorted(sender.acked - arrived)
    equal("dropped records, as counted", evicted, len(missing))
    # what is in a request at that moment stays, so that the gap has islands; behind it lies about a quota of the newest
    newest = [number for number in sender.acked if not missing or number > missing[-1]]
    if not missing or len(newest) < 500:
        raise AssertionError(f"{len(missing)} of {len(sender.acked)} records are gone, {len(newest)} of the newest are there")


def test_restart_during_the_outage(case):
    """The buffer is on disk: what was acknowledged before a kill is delivered after it."""
    service = fake_service(case)
    gateway = case.gateway({"destinations": {"cloud": service.destination(**QUICK)}}, fixed_ports=True)
    service.down()
    senders = senders_of(case, gateway, ["app.a", "app.b"], pause=0.002)
    for _ in range(2):
        before = acked(senders)
        wait_until("acks go on", lambda: acked(senders) > before + 200)
        gateway.kill()
        gateway.start()
    for sender in senders:
        sender.finish()
    service.up()
    want = {(sender.name, number) for sender in senders for number in sender.acked}
    wait_until("every acknowledged record", lambda: want <= {(r["sender"], int(r["number"])) for r in service.records()}, 90, 0.2)
    wait_until("the buffer shrinks to nothing", lambda: buffered(gateway) == 0)
    service.series()  # complains about a pack_id that came with two contents
    equal("complaints of the service", service.complaints, [])


def test_second_gateway_as_backend(case):
    """The real embedded service of another gateway, stopped and started under load."""
    backend = case.gateway(fixed_ports=True, name="backend")
    key_id, secret = backend.access_key()
    destination = {
        "endpoint": "http://cn-compat.log.test", "connect": f"127.0.0.1:{backend.ports['log service']}", "project": "sluicegate",
        "logstore": "default", "access_key_id": key_id, "access_key_secret": secret, **QUICK,
    }
    gateway = case.gateway({"destinations": {"cloud": destination}}, name="front")
    senders = senders_of(case, gateway, ["app.a", "app.b", "app.c"], pause=0.004)
    for stop in (backend.kill, backend.terminate):
        before = acked(senders)
        stop()
        wait_until("senders go on", lambda: acked(senders) > before + 500)
        well(gateway)
        backend.start()
    for sender in senders:
        sender.finish()
    want = {(sender.name, number) for sender in senders for number in sender.acked}
    wait_until("the buffer shrinks to nothing", lambda: buffered(gateway) == 0, 90)
    found = [(r["sender"], int(r["number"])) for r in backend.log_service().search()]
    equal("lost", sorted(want - set(found)), [])
    print(f"        {len(want)} records, {len(found) - len(set(found))} duplicates")
