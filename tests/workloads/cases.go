package workloads

// All are the workloads, in the order in which they are run.
var All = []Workload{
	redis("redis", "no", "run id, process and 20,000 keys; the queue of a MULTI under way, executed after the restore; clients that reconnect count on"),
	redis("redis-aof", "yes", "the same, and after the restore everything is read back from the append-only file"),
	postgresql, nginx, numpy, monteCarlo, randomForest, xgboost, pytorch, llama, node, java, golang, golangMPTCP, sqlite, memcached, lammps, hpl,
}

func redis(name, aof, checked string) Workload {
	w := Workload{
		Name: name, Program: "redis", Public: "docker.io/library/redis:8", Checked: checked,
		Script: `redis-server --unixsocket /tmp/redis.sock --save '' --appendonly ` + aof + ` --appendfsync always --enable-debug-command local --dir /data &
until redis-cli ping > /dev/null 2>&1; do sleep 0.2; done
redis-cli eval "for i=1,20000 do redis.call('set','key:'..i, redis.sha1hex(tostring(i))) end" 0
mkfifo /tmp/session
redis-cli -s /tmp/redis.sock 0<>/tmp/session >/tmp/session.out &
printf 'MULTI\nINCR held\nINCRBY held 41\n' > /tmp/session
until [ "$(grep -c QUEUED /tmp/session.out)" = 2 ]; do sleep 0.2; done
while :; do redis-cli incr hits > /dev/null && touch /tmp/ready; sleep 0.1; done`,
		Version: "redis-cli --version",
		Same: `redis-cli info server | grep -E '^(run_id|process_id):'; cat /tmp/session.out; redis-cli exists held
redis-cli eval "local s='' for i=1,20000 do s=redis.sha1hex(s..redis.call('get','key:'..i)) end return s" 0`,
		Count: "redis-cli get hits",
		End:   `echo EXEC > /tmp/session; sleep 1; tail -n 2 /tmp/session.out`, Want: "1 42",
	}
	if aof == "yes" {
		w.End += `; a=$(redis-cli get hits); redis-cli debug loadaof; b=$(redis-cli get hits); [ "$b" -ge "$a" ] && redis-cli mget held key:20000`
		w.Want += " OK 42 352bc7d47decfa6b5052a0dd871ef73d6a91c7de"
	}
	return w
}

var postgresql = Workload{
	Name: "postgresql", Program: "postgresql", Public: "docker.io/library/postgres:18", User: 26, PublicUser: 999,
	Checked: "the server's start, the session of an open transaction, which commits after the restore, and whose rows nobody saw before; a session that inserts, and no row of which is lost; pg_amcheck",
	Script: `mkdir -m 700 /data/pg && chown 26:26 /data/pg 2>/dev/null
initdb -D /data/pg -A trust -U postgres --locale=C -N > /tmp/initdb.log 2>&1 || { cat /tmp/initdb.log; exit 1; }
postgres -D /data/pg -k /tmp -c listen_addresses= &
export PGHOST=/tmp PGUSER=postgres
until pg_isready -q; do sleep 0.2; done
psql -qc 'create table held(i int primary key); create table written(i int primary key)'
mkfifo /tmp/session
psql -qAt 0<>/tmp/session >/tmp/session.out 2>&1 &
echo 'begin; insert into held select generate_series(1, 1000); select count(*) from held;' > /tmp/session
until grep -q 1000 /tmp/session.out; do sleep 0.2; done
touch /tmp/ready
i=0; while :; do i=$((i+1)); echo "insert into written values ($i);"; sleep 0.1; done | psql -q`,
	Version: "postgres --version",
	Same: `psql -h /tmp -U postgres -Atc 'select pg_postmaster_start_time()' -c 'select system_identifier from pg_control_system()' -c 'select count(*) from held' \
-c "select pid, backend_start, xact_start, state from pg_stat_activity where state like 'idle in%'"`,
	Count: "psql -h /tmp -U postgres -Atc 'select coalesce(max(i), 0) from written'",
	End: `echo 'commit; select sum(i) from held;' > /tmp/session; sleep 1; tail -n 1 /tmp/session.out
psql -h /tmp -U postgres -Atc 'select count(*) from held' -c 'select max(i) - count(*) from written'; pg_amcheck -h /tmp -U postgres --install-missing -a > /dev/null; echo $?`,
	Want: "500500 1000 0 0",
}

var nginx = Workload{
	Name: "nginx", Program: "nginx", Public: "docker.io/library/nginx:1.28",
	Checked: "master and three workers with their PIDs, requests counted in the memory that they share; after the restore the master replaces a worker that dies, and reloads",
	Script: `mkdir -p /tmp/nginx && cd /tmp/nginx && cat > nginx.conf <<'END'
user root; worker_processes 3; pid /tmp/nginx/pid; error_log stderr notice; events {}
http {
  access_log off;
  server { listen 80; location = /status { stub_status; } location / { return 200 "$pid\n"; } }
}
END
nginx -c /tmp/nginx/nginx.conf -g 'daemon off;' &
while :; do wget -q -O - http://127.0.0.1/ > /tmp/answer 2>/dev/null && touch /tmp/ready; sleep 0.1; done`,
	Version: "nginx -v 2>&1",
	Same:    `cat /tmp/nginx/pid; for f in /proc/[0-9]*/comm; do read -r c < $f && [ "$c" = nginx ] && echo $f; done 2>/dev/null; :`,
	Count:   `wget -q -O - http://127.0.0.1/status | while read -r a b c d; do case "$a$d" in *[!0-9]*) ;; ?*) echo $c ;; esac; done`,
	End: `kill -9 $(wget -q -O - http://127.0.0.1/); sleep 1; n=0; for f in /proc/[0-9]*/comm; do read -r c < $f && [ "$c" = nginx ] && n=$((n+1)); done 2>/dev/null; echo $n
kill -HUP $(cat /tmp/nginx/pid); sleep 1; wget -q -O - http://127.0.0.1/ > /dev/null && echo answers`,
	Want: "4 answers",
}

// node cannot be checkpointed: its event loop uses io_uring.
var node = Workload{
	Name: "node", Program: "node", Public: "docker.io/library/node:24",
	Checked: "the checkpoint is refused by the name of its reason; the source, a server with timers and a client with a kept-alive connection, goes on",
	Refused: "io_uring",
	Script: `cat > /tmp/serve.js <<'END'
const http = require('http'), fs = require('fs');
const nonce = require('crypto').randomBytes(8).toString('hex');
let ticks = 0, answers = 0, failures = 0;
setInterval(() => { ticks++; }, 20);
http.createServer((q, a) => a.end(String(ticks))).listen(3000, '127.0.0.1');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
function ask() {
  const again = () => setTimeout(ask, 50);
  http.get({ port: 3000, host: '127.0.0.1', agent }, (a) => { a.resume(); a.on('end', () => { answers++; again(); }); })
    .on('error', () => { failures++; again(); });
}
ask();
setInterval(() => {
  fs.writeFileSync('/tmp/state.new', [nonce, ticks, answers, failures].join('\n') + '\n');
  fs.renameSync('/tmp/state.new', '/tmp/state');
  if (answers > 0) fs.writeFileSync('/tmp/ready', '');
}, 100);
END
exec node /tmp/serve.js`,
	Version: "node --version",
	Same:    "head -n 1 /tmp/state",
	Count:   "sed -n 2p /tmp/state",
}

// exporter is a server of Go's own HTTP library, with a client.
func exporter(name, environment string) Workload {
	return Workload{
		Name: name, Program: "node-exporter", Public: "docker.io/prom/node-exporter:latest",
		Script: environment + `"$(command -v prometheus-node-exporter || command -v node_exporter)" --web.listen-address=127.0.0.1:9100 --collector.disable-defaults --collector.loadavg &
while :; do wget -q -O - http://127.0.0.1:9100/metrics > /tmp/answer 2> /dev/null && touch /tmp/ready; sleep 0.1; done`,
		Version: `"$(command -v prometheus-node-exporter || command -v node_exporter)" --version 2>&1 | head -n 1 | cut -d ' ' -f 1-3; sed -n 's/^go_info{version="\(.*\)"} 1/\1/p' /tmp/answer`,
		// The kernel chose where its stack is. The start that the server tells is the kernel's, which dates restored processes anew.
		Same:    `pid=$(pidof prometheus-node-exporter node_exporter); echo $pid; sed -n 's/^[0-9a-f]*-\([0-9a-f]*\) .*\[stack\]$/\1/p' /proc/$pid/maps`,
		Count:   `wget -q -O - http://127.0.0.1:9100/metrics | sed -n 's/^promhttp_metric_handler_requests_total{code="200"} //p'`,
		Checked: "its PID and the place of its stack; the requests that it has counted, of a client that connects anew for each",
	}
}

var golang = exporter("go", "GODEBUG=multipathtcp=0 ")

// golangMPTCP cannot be checkpointed: it listens with MPTCP, as programs that are built as modules of Go 1.24 and newer do unless
// they are told not to. Debian's are not built as modules.
var golangMPTCP = func() Workload {
	w := exporter("go-mptcp", "GODEBUG=multipathtcp=2 ")
	w.Refused, w.Needs = "multipathtcp=0", "/proc/sys/net/mptcp/enabled"
	w.Checked = "the checkpoint is refused by the name of its reason, with what to set; the source goes on"
	return w
}()

var sqlite = Workload{
	Name: "sqlite", Program: "python", Public: "docker.io/library/python:3.14",
	Checked: "a nonce in memory; a reader's open transaction sees, after the restore too, what it saw when it began; every row that was written in WAL mode is there; integrity check",
	Script: `cat > /tmp/write.py <<'END'
import os, sqlite3, threading, time
nonce = os.urandom(8).hex()
def connect():
    c = sqlite3.connect("/data/db", isolation_level=None, check_same_thread=False, timeout=10)
    c.execute("pragma journal_mode=wal")
    return c
writer, reader = connect(), connect()
writer.execute("create table t(i integer primary key, v blob)")
for i in range(1, 101): writer.execute("insert into t values (?, randomblob(1000))", (i,))
reader.execute("begin")
def snapshot(): return reader.execute("select count(*), max(i) from t").fetchone()
i = 100
while True:
    i += 1
    writer.execute("insert into t values (?, randomblob(1000))", (i,))
    if os.path.exists("/tmp/check"):
        os.remove("/tmp/check")
        fresh = connect()
        with open("/tmp/checked", "w") as f: print(*fresh.execute("select max(i) - count(*) from t").fetchone(), *fresh.execute("pragma integrity_check").fetchone(), file=f)
    with open("/tmp/state.new", "w") as f: f.write(f"{nonce} {snapshot()}\n{i}\n")
    os.rename("/tmp/state.new", "/tmp/state")
    open("/tmp/ready", "w").close()
    time.sleep(0.05)
END
exec python3 /tmp/write.py`,
	Version: `python3 -c 'import sqlite3; print("SQLite", sqlite3.sqlite_version)'`,
	Same:    "head -n 1 /tmp/state",
	Count:   "sed -n 2p /tmp/state",
	// Within the process: see docs/state.md for another one that opens the database.
	End:  `touch /tmp/check; until [ -e /tmp/checked ]; do sleep 0.2; done; cat /tmp/checked`,
	Want: "0 ok",
}

var memcached = Workload{
	Name: "memcached", Program: "memcached", Public: "docker.io/library/memcached:1.6",
	Checked: "process and 1,000 values, which are in memory alone; a client that reconnects counts on",
	Script: `memcached -u root -l 127.0.0.1 -m 64 &
ask() { printf "$1quit\r\n" | nc 127.0.0.1 11211; }
until ask 'set hits 0 0 1\r\n0\r\n' | grep -q STORED; do sleep 0.2; done
i=0; while [ $i -lt 1000 ]; do printf "set key:$i 0 0 32\r\n%032d\r\n" $i; i=$((i+1)); done > /tmp/values; printf 'quit\r\n' >> /tmp/values
nc 127.0.0.1 11211 < /tmp/values | grep -c STORED > /tmp/stored
while :; do ask 'incr hits 1\r\n' > /dev/null && touch /tmp/ready; sleep 0.1; done`,
	Version: "memcached --version",
	Same: `printf 'stats\r\nquit\r\n' | nc 127.0.0.1 11211 | grep -E 'STAT (pid|curr_items) '; cat /tmp/stored
i=0; while [ $i -lt 1000 ]; do echo "get key:$i"; i=$((i+1)); done > /tmp/ask; (cat /tmp/ask; echo quit) | nc 127.0.0.1 11211 | md5sum`,
	Count: `printf 'get hits\r\nquit\r\n' | nc 127.0.0.1 11211 | sed -n 2p | tr -d '\r '`,
}
