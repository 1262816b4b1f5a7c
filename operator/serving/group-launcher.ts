/**
 * Runs several servers in one container, in Python, which every engine's image has: a device plugin gives a GPU to one container only, so
 * that models which share GPUs share a container, too. Each argument is a server's command line as JSON. SIGTERM goes to all; when one
 * ends, the others are told to end, and the container with them, so that the kubelet starts all of them anew.
 */
export const GROUP_LAUNCHER = `import json, os, signal, subprocess, sys
servers = [subprocess.Popen(json.loads(line)) for line in sys.argv[1:]]
alive = {server.pid for server in servers}
stopping = False
def stop(*_):
    # Once: some servers take a second SIGTERM for an order to cut answers off.
    global stopping
    if stopping:
        return
    stopping = True
    for pid in list(alive):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
first = None
while alive:
    pid, status = os.wait()
    if pid in alive:
        alive.remove(pid)
        if first is None:
            first = os.waitstatus_to_exitcode(status)
            stop()
sys.exit(first if first >= 0 else 128 - first)
`;

/** Answers with exit code 0 when the servers at all these ports are healthy. */
export const GROUP_HEALTH = `import sys, urllib.request
for port in sys.argv[1:]:
    urllib.request.urlopen("http://127.0.0.1:" + port + "/health", timeout=4)
`;
