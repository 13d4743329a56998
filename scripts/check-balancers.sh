#!/usr/bin/env bash
# deploy/load-balancing holds: nginx and HAProxy take the files as they are, and keep a conversation at one
# gateway whichever header names it. What is not installed is not checked, and said.
#
#   scripts/check-balancers.sh
#
# Envoy is not in Debian: its file is only read as YAML, where Python can.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin
python3 - <<'PYTHON'
import http.client, http.server, pathlib, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time

FILES = pathlib.Path("deploy/load-balancing")


class Gateway(http.server.BaseHTTPRequestHandler):
    """Says which gateway it is."""

    def do_GET(self):
        name = str(self.server.server_port).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)

    def log_message(self, *_):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/readyz", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200, f"{answer.status} {answer.read()!r}"
    return answer.read()


def until_it_listens(port, process):
    for _ in range(500):
        assert process.poll() is None, "it has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("it does not listen")


def check(name, port, process):
    try:
        until_it_listens(port, process)
        headers = re.findall(r"header_name: ([\w-]+)", (FILES / "envoy.yaml").read_text())
        assert len(headers) > 15, headers
        for header in headers:
            seen = set()
            for session in range(12):
                # Whatever is weaker than the header changes with every request.
                weaker = {} if header == "authorization" else {"authorization": f"Bearer {session}"}
                places = {ask(port, {header: f"session-{session}", **weaker}) for _ in range(2)}
                places |= {ask(port, {header: f"session-{session}"})}
                assert len(places) == 1, f"{name}: {header} does not keep a conversation in place: {places}"
                seen |= places
            assert len(seen) == 2, f"{name}: {header} is not looked at"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    print(f"ok: {name}, {len(headers)} headers")


def changed(text, ports, port):
    for address, own in zip(("10.0.0.11:8080", "10.0.0.12:8080"), ports):
        text = text.replace(address, f"127.0.0.1:{own}")
    # Everything is one port here, health as well.
    text = text.replace("default-server check port 9090", "default-server check")
    return text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("bind :80", f"bind 127.0.0.1:{port}")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    ports = serve(), serve()
    if shutil.which("nginx"):
        port = free_port()
        whole = f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        whole += "events {}\nhttp { access_log off;\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            whole += f"{kind}_temp_path {folder}/{kind};\n"
        whole += changed((FILES / "nginx.conf").read_text(), ports, port) + "}\n"
        (folder / "nginx.conf").write_text(whole)
        command = ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
        subprocess.run([*command, "-t", "-q"], check=True)
        check("nginx", port, subprocess.Popen(command))
    else:
        print("not checked: nginx.conf, for want of nginx")
    if shutil.which("haproxy"):
        subprocess.run(["haproxy", "-c", "-q", "-f", str(FILES / "haproxy.cfg")], check=True)
        port = free_port()
        (folder / "haproxy.cfg").write_text(changed((FILES / "haproxy.cfg").read_text(), ports, port))
        command = ["haproxy", "-db", "-q", "-f", str(folder / "haproxy.cfg")]
        check("HAProxy", port, subprocess.Popen(command))
    else:
        print("not checked: haproxy.cfg, for want of haproxy")
try:
    import yaml
except ImportError:
    print("not checked: envoy.yaml, for want of PyYAML")
else:
    yaml.safe_load((FILES / "envoy.yaml").read_text())
    print("ok: envoy.yaml is YAML")
PYTHON
