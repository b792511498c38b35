#!/usr/bin/env bash
# Runs Ringback with all that it needs on this machine: a real Kafka, an endpoint, the daemon and Prometheus. Sends a sample,
# shows the webhooks that were delivered, and prints the addresses to open. Ctrl-C ends everything and removes its files.
# ONCE=1 ends it after the webhooks. KAFKA_PORT, CONTROLLER_PORT, RECEIVER_PORT, DAEMON_PORT and PROMETHEUS_PORT choose the
# ports; one that is taken is replaced by the next free one. `make quickstart` installs what it needs, and builds first.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${RINGBACK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringback}
ringback=${RINGBACK_BIN:-${CARGO_TARGET_DIR:-$cache/target}/release/ringback}
patience_s=60
here=$(mktemp -d "${TMPDIR:-/tmp}/ringback-quickstart.XXXXXX")
children=()

say() { printf '\n== %s\n' "$*"; }

end() {
    local code=$? child
    trap - EXIT INT TERM
    if [ $code != 0 ] && [ ${#children[@]} != 0 ]; then
        printf 'quickstart: it failed. The last lines of each log:\n' >&2
        tail -n 5 "$here"/*.log >&2
    fi
    # In reverse order, so that the daemon ends before Kafka.
    for ((child = ${#children[@]} - 1; child >= 0; child--)); do
        kill -TERM "${children[child]}" 2>/dev/null || continue
        for _ in {1..50}; do
            kill -0 "${children[child]}" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "${children[child]}" 2>/dev/null || true
        wait "${children[child]}" 2>/dev/null || true
    done
    rm -rf "$here"
    exit $code
}
trap end EXIT
trap 'exit 0' INT TERM

# Starts a program whose output goes to NAME.log. It ends with this script, even if that is killed. The script alone gets
# Ctrl-C, because the program is in a session of its own.
start() {
    local name=$1
    shift
    setpriv --pdeathsig TERM -- setsid -- "$@" >"$here/$name.log" 2>&1 </dev/null &
    children+=($!)
}

# Prints the first free port of 127.0.0.1 from this one on.
port() {
    python3 - "$1" "$here/ports" <<'PYTHON'
import socket, sys

given = set(open(sys.argv[2]).read().split())
for port in range(int(sys.argv[1]), 65536):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            continue
    if str(port) not in given:
        print(port, file=open(sys.argv[2], "a"))
        print(port)
        break
PYTHON
}

# Waits until a command succeeds.
wait_for() {
    local what=$1 deadline=$((SECONDS + patience_s))
    shift
    until "$@" >"$here/wait.log" 2>&1; do
        if ((SECONDS >= deadline)); then
            printf 'quickstart: %s: not within %s s: %s\n' "$what" $patience_s "$(cat "$here/wait.log")" >&2
            exit 1
        fi
        sleep 0.2
    done
}

java_of_kafka() {
    printf '%s\n' java "-Xmx$1" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$cache/kafka/libs/*"
}

start_kafka() {
    mapfile -t java < <(java_of_kafka 128m)
    cat >"$here/kafka.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
log.dirs=$here/kafka
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
PROPERTIES
    "${java[@]}" kafka.tools.StorageTool format --standalone -t cmluZ2JhY2stY2x1c3Rlcg \
        -c "$here/kafka.properties" >"$here/format.log" 2>&1
    mapfile -t java < <(java_of_kafka 512m)
    start kafka "${java[@]}" kafka.Kafka "$here/kafka.properties"
    wait_for 'Kafka starts' bash -c "exec 3<>/dev/tcp/127.0.0.1/$kafka_port"
}

start_prometheus() {
    cat >"$here/prometheus.yml" <<CONFIG
global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 10s}
rule_files: ["$root/ops/monitoring/rules/alerts.yaml"]
scrape_configs:
  - job_name: ringback
    static_configs: [{targets: ["127.0.0.1:$daemon_port"]}]
CONFIG
    start prometheus prometheus --config.file="$here/prometheus.yml" --storage.tsdb.path="$here/prometheus" \
        --web.listen-address="127.0.0.1:$prometheus_port"
}

# Succeeds if Prometheus has scraped the daemon.
is_scraped() {
    curl --silent --fail "http://127.0.0.1:$prometheus_port/api/v1/query?query=up%7Bjob%3D%22ringback%22%7D" | grep -q '"1"\]'
}

are_delivered() {
    [ "$(grep -c ^msg_ "$here/receiver.log")" -ge 2 ]
}

for program in java prometheus python3 curl setpriv "$ringback"; do
    if ! command -v "$program" >/dev/null; then
        echo "quickstart: $program is missing: \`make quickstart\` builds or installs it" >&2
        exit 1
    fi
done
: >"$here/ports"
kafka_port=$(port "${KAFKA_PORT:-9092}") controller_port=$(port "${CONTROLLER_PORT:-9093}")
receiver_port=$(port "${RECEIVER_PORT:-8080}") daemon_port=$(port "${DAEMON_PORT:-9464}")
prometheus_port=$(port "${PROMETHEUS_PORT:-9090}")
export RINGBACK_CONFIG=$here/config/ringback.toml RINGBACK__HTTP__LISTEN=127.0.0.1:$daemon_port

say 'Configuration: ringback init'
"$ringback" init "$here/config" --kafka "127.0.0.1:$kafka_port" --url "http://127.0.0.1:$receiver_port/hooks" | grep wrote

say "Kafka at 127.0.0.1:$kafka_port"
start_kafka

say 'Topics: ringback topics --create --with-inputs 6'
wait_for 'the topics are created' "$ringback" topics --create --with-inputs 6
grep created "$here/wait.log"

say 'Endpoint, daemon and Prometheus'
start receiver python3 "$root/ops/quickstart/receiver.py" "$receiver_port"
start daemon "$ringback" run
start_prometheus
wait_for 'the daemon is ready' "$ringback" healthcheck --ready

say 'A sample: ringback send --sample'
"$ringback" send --sample | tee "$here/sent.log"
wait_for 'two webhooks arrive' are_delivered

say 'The endpoint has received both phases, signed:'
grep ^msg_ "$here/receiver.log"

say 'What happened to it: ringback trace'
"$ringback" trace "$(sed -n 's/.*`ringback trace \([^`]*\)`.*/\1/p' "$here/sent.log")"
wait_for 'Prometheus scrapes the daemon' is_scraped

say "Ready after $SECONDS s. Open:"
cat <<ADDRESSES
  http://127.0.0.1:$daemon_port/        the console: webhooks, executions, dead letters
  http://127.0.0.1:$prometheus_port/    Prometheus, with the alerts of ops/monitoring
In another terminal, send more:
  export RINGBACK_CONFIG=$RINGBACK_CONFIG RINGBACK__HTTP__LISTEN=$RINGBACK__HTTP__LISTEN
  $ringback send --sample --count 100 --rate 10
  tail -f $here/receiver.log
ADDRESSES
if [ "${ONCE:-}" = 1 ]; then exit 0; fi
echo 'Ctrl-C ends everything.'
# The first program that ends by itself ends the others.
wait -n || true
echo 'quickstart: a program has ended' >&2
exit 1
