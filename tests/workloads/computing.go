package workloads

import "strings"

// history is what a program that computes does at each step: it appends the step and the hash of all that it has.
const history = "/tmp/history"

// computed are the questions to a program with a history.
func computed(w Workload) Workload {
	w.Same = "cat /tmp/nonce"
	w.Count = "tail -n 1 " + history + " | cut -d ' ' -f 1"
	w.At = "grep \"^$N \" " + history
	return w
}

// python is a program that computes with seeded random numbers. begin makes what it has; each step of it leaves all of that, as bytes,
// in have.
func python(name, program, public, checked, version, begin, step string) Workload {
	return computed(Workload{
		Name: name, Program: program, Public: public,
		Checked: "a nonce in memory; " + checked + " has, step for step and bit for bit, what the uninterrupted one has",
		Script: "cat > /tmp/compute.py <<'END'\nimport hashlib, os, time\n" + begin + `
nonce, history, step = os.urandom(8).hex(), open("/tmp/history", "a", buffering=1), 0
while True:
    step += 1
    ` + strings.ReplaceAll(step, "\n", "\n    ") + `
    history.write(f"{step} {hashlib.sha256(have).hexdigest()}\n")
    open("/tmp/nonce.new", "w").write(nonce)
    os.rename("/tmp/nonce.new", "/tmp/nonce")
    open("/tmp/ready", "w").close()
    time.sleep(0.05)
END
exec python3 /tmp/compute.py`,
		Version: `python3 -c 'import sys, ` + version + ` as library; print("Python", sys.version.split()[0], library.__name__, library.__version__)'`,
	})
}

const scientific = "quay.io/jupyter/scipy-notebook:latest"

var numpy = python("numpy", "python", scientific, "a computation of matrices and random numbers", "numpy", `import numpy
random = numpy.random.default_rng(42)
data, state = random.standard_normal((2000, 1000)), random.standard_normal((200, 200))`,
	`state = numpy.tanh(state @ random.standard_normal((200, 200)) / 14)
have = state.tobytes() + data.tobytes()`)

var monteCarlo = python("monte-carlo-pi", "python", scientific, "the number of random points within a circle", "numpy", `import numpy
random, within, points = numpy.random.default_rng(42), 0, numpy.zeros((1000000, 2))`,
	`random.random(out=points)
within += int(((points ** 2).sum(axis=1) < 1).sum())
have = f"{within} {4 * within / len(points) / step}".encode() + points.tobytes()`)

var randomForest = python("random-forest", "learning", scientific, "a forest that grows by a tree", "sklearn", `from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
x, y = make_classification(50000, 40, random_state=42)
forest = RandomForestClassifier(n_estimators=0, warm_start=True, max_depth=6, max_samples=2000, random_state=42)`,
	`forest.n_estimators = step
forest.fit(x, y)
have = x.tobytes() + b"".join(tree.tree_.threshold.tobytes() for tree in forest.estimators_)`)

var xgboost = python("xgboost", "learning", "docker.io/cedana/cedana-samples:latest", "a model that is trained by two threads", "xgboost", `import numpy, xgboost
random = numpy.random.default_rng(42)
x = random.standard_normal((100000, 40), dtype=numpy.float32)
y = (x[:, :8].sum(axis=1) + random.standard_normal(len(x)) > 0).astype(int)
data = xgboost.DMatrix(x, y)
options = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 4, "subsample": 0.8, "nthread": 2, "seed": 42}
booster = xgboost.Booster(options, [data])`,
	`booster.update(data, step)
have = bytes(booster.save_raw()) + x.tobytes()`)

var pytorch = python("pytorch", "pytorch", "docker.io/pytorch/pytorch:latest", "a training loop with its loss, its model's weights and its optimizer's state", "torch", `import torch
torch.manual_seed(42)
torch.set_num_threads(2)
torch.use_deterministic_algorithms(True)
x = torch.randn(16384, 256)
y = x.sin().sum(1, keepdim=True)
model = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(512, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)`,
	`batch = torch.randint(0, len(x), (256,))
loss = torch.nn.functional.mse_loss(model(x[batch]), y[batch])
optimizer.zero_grad()
loss.backward()
optimizer.step()
have = f"{loss.item():.9g}".encode() + x.numpy().tobytes()
for p in model.parameters():
    have += p.data.numpy().tobytes() + b"".join(optimizer.state[p][k].numpy().tobytes() for k in ("exp_avg", "exp_avg_sq"))`)

var java = computed(Workload{
	Name: "java", Program: "java", Public: "docker.io/library/eclipse-temurin:25",
	Checked: "a nonce in memory; a loop that the JIT has compiled, and garbage that two threads collect; each step's result is what the uninterrupted run has",
	Script: `cat > /tmp/Compute.java <<'END'
import java.io.*;
import java.nio.file.*;
public class Compute {
    static long mix(long x) { for (int i = 0; i < 2_000_000; i++) { x ^= x << 13; x ^= x >>> 7; x ^= x << 17; } return x; }
    public static void main(String[] args) throws Exception {
        long x = 42;
        Files.writeString(Path.of("/tmp/nonce"), Long.toHexString(new java.security.SecureRandom().nextLong()));
        PrintStream history = new PrintStream(new FileOutputStream("/tmp/history", true), true);
        java.util.ArrayDeque<byte[]> kept = new java.util.ArrayDeque<>();
        for (int step = 1; ; step++) {
            x = mix(x);
            for (int i = 0; i < 200; i++) { byte[] b = new byte[16384]; b[i] = (byte) x; kept.add(b); if (kept.size() > 1000) x += kept.poll()[i]; }
            history.println(step + " " + Long.toHexString(x));
            if (step == 20) Files.writeString(Path.of("/tmp/ready"), "");
            Thread.sleep(50);
        }
    }
}
END
exec java -Xmx128m -XX:+UseParallelGC -XX:ParallelGCThreads=2 -XX:-UsePerfData /tmp/Compute.java`,
	Version: "java -version 2>&1 | head -n 1",
})

// llama's server is in the middle of a completion, which a client reads token by token over a unix socket.
var llama = computed(Workload{
	Name: "llama", Program: "llama", Public: "ghcr.io/ggml-org/llama.cpp:full",
	Checked: "a nonce in memory and the server's PID; the tokens of a completion at temperature 0 that is under way go on as the uninterrupted one's",
	Script: `cat > /tmp/complete.py <<'END'
import gguf, http.client, json, numpy, os, shutil, socket, subprocess, time
nonce = os.urandom(8).hex()
random, width, layers, vocabulary = numpy.random.default_rng(42), 256, 6, 512
model = gguf.GGUFWriter("/tmp/model.gguf", "llama")
model.add_context_length(8192)
model.add_embedding_length(width)
model.add_block_count(layers)
model.add_feed_forward_length(2 * width)
model.add_head_count(8)
model.add_head_count_kv(8)
model.add_layer_norm_rms_eps(1e-5)
model.add_rope_dimension_count(width // 8)
model.add_vocab_size(vocabulary)
model.add_tokenizer_model("llama")
model.add_token_list([b"<unk>", b"<s>", b"</s>"] + [b"<0x%02X>" % i for i in range(256)] + [b"w%d" % i for i in range(vocabulary - 259)])
model.add_token_scores([0.0] * vocabulary)
model.add_token_types([2, 3, 3] + [6] * 256 + [1] * (vocabulary - 259))
def weights(name, *shape): model.add_tensor(name, (random.standard_normal(shape) * 0.1).astype(numpy.float32))
def ones(name): model.add_tensor(name, numpy.ones(width, numpy.float32))
weights("token_embd.weight", vocabulary, width)
ones("output_norm.weight")
weights("output.weight", vocabulary, width)
for i in range(layers):
    for part in ("attn_q", "attn_k", "attn_v", "attn_output"): weights(f"blk.{i}.{part}.weight", width, width)
    for part in ("ffn_gate", "ffn_up"): weights(f"blk.{i}.{part}.weight", 2 * width, width)
    weights(f"blk.{i}.ffn_down.weight", width, 2 * width)
    for part in ("attn_norm", "ffn_norm"): ones(f"blk.{i}.{part}.weight")
model.write_header_to_file()
model.write_kv_data_to_file()
model.write_tensors_to_file()
model.close()
program = shutil.which("llama-server") or "/app/llama-server"
server = subprocess.Popen([program, "-m", "/tmp/model.gguf", "--host", "/tmp/llama.sock", "-t", "2", "-c", "8192", "-np", "1", "--no-webui", "--log-disable"])
def request(method, path, body=None):
    c = http.client.HTTPConnection("llama")
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.connect("/tmp/llama.sock")
    c.request(method, path, body, {"Content-Type": "application/json"})
    return c.getresponse()
while True:
    try:
        if request("GET", "/health").status == 200: break
    except OSError: pass
    time.sleep(0.1)
question = {"prompt": "abc", "temperature": 0, "n_predict": 6000, "ignore_eos": True, "stream": True, "cache_prompt": False, "return_tokens": True}
history, count = open("/tmp/history", "a", buffering=1), 0
while True:
    for line in request("POST", "/completion", json.dumps(question)):
        if not line.startswith(b"data: {"): continue
        for token in json.loads(line[6:]).get("tokens", []):
            count += 1
            history.write(f"{count} {token}\n")
        open("/tmp/nonce.new", "w").write(f"{nonce} {server.pid}")
        os.rename("/tmp/nonce.new", "/tmp/nonce")
        open("/tmp/ready", "w").close()
END
exec python3 /tmp/complete.py`,
	Version: `"$(command -v llama-server || echo /app/llama-server)" --version 2>&1 | sed -n 's/^version: */llama.cpp /p'`,
})

var lammps = computed(Workload{
	Name: "lammps", Program: "lammps", Public: "docker.io/lammps/lammps:latest",
	Checked: "a nonce in memory; the energies of a melt of 6,912 atoms are, step for step and digit for digit, those of the uninterrupted run",
	Script: `cat > /tmp/melt <<'END'
units lj
atom_style atomic
lattice fcc 0.8442
region box block 0 12 0 12 0 12
create_box 1 box
create_atoms 1 box
mass 1 1.0
velocity all create 3.0 87287
pair_style lj/cut 2.5
pair_coeff 1 1 1.0 1.0 2.5
neighbor 0.3 bin
fix 1 all nve
thermo 10
thermo_style custom step temp pe etotal press
thermo_modify flush yes format float %.17g
run 100000000
END
cat /proc/sys/kernel/random/uuid > /tmp/nonce
lmp -in /tmp/melt -log none | while read -r step energies; do
  case "$step" in ''|*[!0-9]*) continue ;; esac
  case "$energies" in *.*) echo "$step $energies" >> /tmp/history; touch /tmp/ready ;; esac
done`,
	Version: `lmp -h 2> /dev/null | sed -n 's/^Large-scale Atomic.Molecular Massively Parallel Simulator - /LAMMPS /p'`,
})

// hpl is one process under MPI: what starts several speaks TCP with them, and TCP within a pod is not kept.
var hpl = computed(Workload{
	Name: "hpl", Program: "hpcc", Public: "docker.io/cedana/cedana-samples:latest",
	Checked: "a nonce in memory; each of Linpack's residuals, of the run under way and of those after it, passes and is the uninterrupted run's",
	Script: `mkdir -p /tmp/hpl && cd /tmp/hpl && cat > hpccinf.txt <<'END'
HPLinpack benchmark input file

HPL.out      output file name
8            device out
1            # of problems sizes (N)
1000         Ns
1            # of NBs
80           NBs
0            PMAP process mapping
1            # of process grids (P x Q)
1            Ps
1            Qs
16.0         threshold
1            # of panel fact
2            PFACTs
1            # of recursive stopping criterium
4            NBMINs
1            # of panels in recursion
2            NDIVs
1            # of recursive panel fact.
1            RFACTs
1            # of broadcast
1            BCASTs
1            # of lookahead depth
1            DEPTHs
2            SWAP
64           swapping threshold
0            L1 in (0=transposed,1=no-transposed) form
0            U  in (0=transposed,1=no-transposed) form
1            Equilibration
8            memory alignment in double
END
nonce=$(cat /proc/sys/kernel/random/uuid)
n=0
while :; do
  rm -f hpccoutf.txt; hpcc || exit 1
  n=$((n+1)); echo "$n $(grep -c '^W.* PASSED' hpccoutf.txt) $(sed -n 's/^||Ax-b.*= *//p' hpccoutf.txt | tr '\n' ' ') $(grep -o 'Success=1' hpccoutf.txt)" >> /tmp/history
  cp hpccoutf.txt /tmp/last; echo "$nonce" > /tmp/nonce.new; mv /tmp/nonce.new /tmp/nonce; touch /tmp/ready
done`,
	Version: "grep -m 1 -o 'HPLinpack [0-9.]*' /tmp/last",
})
