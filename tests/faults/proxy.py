"""A proxy between walgd and an S3 server that does to requests what networks and servers do.

    proxy = Proxy(("127.0.0.1", port_of_the_server))
    proxy.fault(reset, method="PUT", part="wal_005/", times=2)

Each fault is a function that gets a request, the way to the server, and the client's socket; it returns True when the connection goes on.
A request is the head's bytes and the body; nothing is understood that a fault does not need.

    proxy.change = strip("if-none-match", access, secret)    # what every request goes through on its way to the server
    proxy.close(); proxy.open()                              # the server is gone, connections and all; it is back, at the same port
    proxy.tls = context                                      # speaks TLS to clients from the next connection on
    proxy.intake = 4096                                      # takes no more bytes in 50 ms from a client
"""
import contextlib
import re
import socket
import struct
import threading
import time

import s3_signing


class Request:
    def __init__(self, head, body):
        self.head, self.body = head, body
        self.method, self.target = head.split(b"\r\n", 1)[0].decode().split(" ")[:2]

    def bytes(self):
        return self.head + b"\r\n\r\n" + self.body

    def headers(self):
        """Lower-case names; without those that are about the connection."""
        fields = dict(line.decode().split(": ", 1) for line in self.head.split(b"\r\n")[1:])
        return {name.lower(): value for name, value in fields.items() if name.lower() not in ("content-length", "authorization")}


class Closed(Exception):
    pass


def received(sock):
    more = sock.recv(1 << 18)
    if not more:
        raise Closed
    return more


def read_message(sock, buffer, is_head=False, received=received):
    """One HTTP message with Content-Length: head, body, what follows."""
    while b"\r\n\r\n" not in buffer:
        buffer += received(sock)
    head, buffer = buffer.split(b"\r\n\r\n", 1)
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    chunked = re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head)
    status = head.split(b" ", 2)[1]
    length = int(found.group(1)) if found else 0
    if is_head or status in (b"204", b"304"):
        length, chunked = 0, None
    if chunked:
        while not buffer.endswith(b"0\r\n\r\n"):
            buffer += received(sock)
        return head, buffer, b""
    parts, missing = [buffer], length - len(buffer)
    while missing > 0:
        more = received(sock)
        parts.append(more)
        missing -= len(more)
    whole = b"".join(parts)
    return head, whole[:length], whole[length:]


class Upstream:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=60)
        self.buffer = b""

    def exchange(self, request):
        """The server's answer: head, body."""
        self.socket.sendall(request.bytes())
        head, body, self.buffer = read_message(self.socket, self.buffer, request.method == "HEAD")
        return head, body


def abort(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


# What can happen to a request.
def reset(request, upstream, client):
    return abort(client)


def lost_answer(request, upstream, client):
    """The server does it, and nobody hears."""
    upstream.exchange(request)
    return abort(client)


def stall(request, upstream, client):
    """No answer; ends when the client gives up."""
    client.settimeout(120)
    try:
        while client.recv(65536):
            pass
    except OSError:
        pass
    return False


def status(code, name, message="made by the proxy"):
    def answer(request, upstream, client):
        body = f'<?xml version="1.0"?><Error><Code>{name}</Code><Message>{message}</Message><RequestId>proxy-1</RequestId></Error>'.encode()
        if request.method == "HEAD":
            body = b""
        client.sendall(f"HTTP/1.1 {code} X\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return True
    return answer


def cut_body(request, upstream, client):
    """The announced length, half of the body, then nothing."""
    head, body = upstream.exchange(request)
    client.sendall(head + b"\r\n\r\n" + body[:len(body) // 2])
    return False


def wrong_length(request, upstream, client):
    """A well-formed answer with less in it than the object has."""
    head, body = upstream.exchange(request)
    body = body[:len(body) * 2 // 3]
    client.sendall(re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body)
    return True


def flipped_bit(request, upstream, client):
    head, body = upstream.exchange(request)
    middle = len(body) // 2
    client.sendall(head + b"\r\n\r\n" + body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1:])
    return True


def slow_drip(request, upstream, client, step=None):
    """`step` bytes of the body in 50 ms; without it the whole takes two seconds."""
    head, body = upstream.exchange(request)
    client.sendall(head + b"\r\n\r\n")
    step = step or max(1, len(body) // 40)
    for at in range(0, len(body), step):
        time.sleep(0.05)  # the fault itself
        client.sendall(body[at:at + step])
    return True


def cut_request(request, upstream, client):
    """A well-formed request with less in it than was sent: what a broken middlebox makes."""
    body = request.body[:len(request.body) * 2 // 3]
    head = re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(body), request.head)
    return passed_on(upstream.exchange(Request(head, body)), client)


def flipped_request(request, upstream, client):
    if not request.body:
        return passed_on(upstream.exchange(request), client)
    middle = len(request.body) // 2
    body = request.body[:middle] + bytes([request.body[middle] ^ 1]) + request.body[middle + 1:]
    return passed_on(upstream.exchange(Request(request.head, body)), client)


def passed_on(answer, client):
    head, body = answer
    client.sendall(head + b"\r\n\r\n" + body)
    return True


def with_header(name, value):
    """The server's answer, one header of it changed, added, or (None) left out."""
    def answer(request, upstream, client):
        head, body = upstream.exchange(request)
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(name.lower().encode() + b":")]
        if value is not None:
            lines.append(f"{name}: {value}".encode())
        return passed_on((b"\r\n".join(lines), body), client)
    return answer


def portal(request, upstream, client):
    """Something between us and the server that says yes to everything."""
    body = b"<html><body>Please log in</body></html>"
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body) + (b"" if request.method == "HEAD" else body))
    return True


def broken_request(at, how):
    """The server gets `at` bytes of the request, then both sides see the connection break."""
    def answer(request, upstream, client):
        upstream.socket.sendall(request.bytes()[:at])
        return how(client)
    return answer


def broken_answer(at, how):
    """The client gets `at` bytes of the answer."""
    def answer(request, upstream, client):
        head, body = upstream.exchange(request)
        client.sendall((head + b"\r\n\r\n" + body)[:at])
        return how(client)
    return answer


def end(client):
    """Closed in the ordinary way, where abort() resets."""
    return False


def strip(name, access, secret):
    """For `change`: takes a header out of every request and signs what is left: a server that does not know the header."""
    def change(request):
        headers = request.headers()
        if headers.pop(name, None) is None:
            return request
        headers["authorization"] = s3_signing.authorization(request.method, request.target, headers, access, secret)
        lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), f"content-length: {len(request.body)}"]
        return Request("\r\n".join(lines).encode(), request.body)
    return change


class Proxy:
    def __init__(self, server):
        self.server = server
        self.lock = threading.Lock()
        self.faults, self.met, self.clients, self.deaf = [], [], set(), set()
        self.change, self.tls, self.intake = (lambda request: request), None, None
        self.port = self.requests = 0
        self.open()

    def open(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(100)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.listener.close()
        with self.lock:
            clients = list(self.clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def silence(self):
        """Nothing that comes on a connection made until now is answered, or even refused: what a suspended machine finds when it wakes."""
        with self.lock:
            self.deaf |= self.clients

    def fault(self, what, method=None, part="", times=None, skip=0, head=""):
        """`what` for the requests of that method whose target and head match the regular expressions, after `skip` of them; for ever without `times`."""
        with self.lock:
            self.faults.append({"what": what, "method": method, "part": part, "times": times, "skip": skip, "head": head})

    def clear(self):
        with self.lock:
            self.faults, self.met = [], []

    def met_count(self):
        """How many requests met a fault."""
        with self.lock:
            return len(self.met)

    def chosen(self, request):
        with self.lock:
            self.requests += 1
            for fault in self.faults:
                if fault["method"] not in (None, request.method) or not re.search(fault["part"], request.target) or fault["times"] == 0:
                    continue
                if not re.search(fault["head"], request.head.decode()):
                    continue
                if fault["skip"] > 0:
                    fault["skip"] -= 1
                    continue
                if fault["times"] is not None:
                    fault["times"] -= 1
                self.met.append(request.target)
                return fault["what"]
        return None

    def accept(self, listener):
        while True:
            try:
                if self.intake:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # what the system takes is not slow
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def take(self, client):
        if not self.intake:
            return received(client)
        time.sleep(0.05)  # the fault itself
        more = client.recv(self.intake)
        if not more:
            raise Closed
        return more

    def serve(self, client):
        upstream = None
        with self.lock:
            self.clients.add(client)
        plain = client
        try:
            if self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
            upstream = Upstream(self.server)
            buffer = b""
            while True:
                head, body, buffer = read_message(client, buffer, received=self.take)
                request = Request(head, body)
                if plain in self.deaf:
                    stall(request, upstream, client)
                    return
                fault = self.chosen(request)
                request = self.change(request)
                if not fault:
                    passed_on(upstream.exchange(request), client)
                elif not fault(request, upstream, client):
                    return
        except (Closed, OSError):
            pass
        finally:
            with self.lock:
                self.clients.discard(plain)
                self.deaf.discard(plain)
            client.close()
            if upstream:
                upstream.socket.close()
