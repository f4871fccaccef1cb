from tests.unit.engine.watch.desk import *
import time
def test_try(desk: Desk) -> None:
    t=time.process_time()
    three=("acme","beta","coda")
    print(desk.round(tenants=three)); print(time.process_time()-t); t=time.process_time()
    desk.refuse_secret()
    print(desk.round(DAY, three)); print(desk.post.told()); print(time.process_time()-t); t=time.process_time()
    print(desk.outbox.read_text(), oct(desk.outbox.stat().st_mode))
    print(desk.round(DAY, three)); print(desk.post.sent[0][2].text);print(desk.post.told())
    desk.answers.clear()
    print(desk.round(HOUR, three));print(desk.round(HOUR, three));print(desk.post.told())
    print(desk.outbox.read_text(), oct(desk.outbox.stat().st_mode))
    print(desk.round(HOUR, three));print(desk.post.told())
    print(desk.outbox.read_text(), oct(desk.outbox.stat().st_mode))
    print(time.process_time()-t); t=time.process_time()
    assert 0
