"""A proxy between walgd and an S3 server that does to requests what networks and servers do.

    proxy = Proxy(("127.0.0.1", port_of_the_server))
    proxy.fault(reset, method="PUT", part="wal_005/", times=2)

Each fault is a function that gets a request, the way to the server, and the client's socket; it returns True when the connection goes on.
A request is the head's bytes and the body; nothing is understood that a fault does not need.
"""
import re
import socket
import struct
import threading
import time


class Request:
    def __init__(self, head, body):
        self.head, self.body = head, body
        self.method, self.target = head.split(b"\r\n", 1)[0].decode().split(" ")[:2]


class Closed(Exception):
    pass


def read_message(sock, buffer, is_head=False):
    """One HTTP message with Content-Length: head, body, what follows."""
    while b"\r\n\r\n" not in buffer:
        more = sock.recv(65536)
        if not more:
            raise Closed
        buffer += more
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


def received(sock):
    more = sock.recv(1 << 18)
    if not more:
        raise Closed
    return more


class Upstream:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=60)
        self.buffer = b""

    def exchange(self, request):
        """The server's answer: head, body."""
        self.socket.sendall(request.head + b"\r\n\r\n" + request.body)
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


def status(code, name):
    def answer(request, upstream, client):
        body = f'<?xml version="1.0"?><Error><Code>{name}</Code><Message>made by the proxy</Message><RequestId>proxy-1</RequestId></Error>'.encode()
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


def slow_drip(request, upstream, client):
    head, body = upstream.exchange(request)
    client.sendall(head + b"\r\n\r\n")
    step = max(1, len(body) // 40)
    for at in range(0, len(body), step):
        time.sleep(0.05)  # the fault itself
        client.sendall(body[at:at + step])
    return True


class Proxy:
    def __init__(self, server):
        self.server = server
        self.lock = threading.Lock()
        self.faults = []
        self.met = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def fault(self, what, method=None, part="", times=None, skip=0):
        """`what` for the requests of that method whose target matches the regular expression, after `skip` of them; for ever without `times`."""
        with self.lock:
            self.faults.append({"what": what, "method": method, "part": part, "times": times, "skip": skip})

    def clear(self):
        with self.lock:
            self.faults, self.met = [], []

    def met_count(self):
        """How many requests met a fault."""
        with self.lock:
            return len(self.met)

    def close(self):
        self.listener.close()

    def chosen(self, request):
        with self.lock:
            for fault in self.faults:
                if fault["method"] not in (None, request.method) or not re.search(fault["part"], request.target) or fault["times"] == 0:
                    continue
                if fault["skip"] > 0:
                    fault["skip"] -= 1
                    continue
                if fault["times"] is not None:
                    fault["times"] -= 1
                self.met.append(request.target)
                return fault["what"]
        return None

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        upstream = None
        try:
            upstream = Upstream(self.server)
            buffer = b""
            while True:
                head, body, buffer = read_message(client, buffer)
                request = Request(head, body)
                fault = self.chosen(request)
                if fault:
                    if not fault(request, upstream, client):
                        return
                else:
                    head, body = upstream.exchange(request)
                    client.sendall(head + b"\r\n\r\n" + body)
        except (Closed, OSError):
            pass
        finally:
            client.close()
            if upstream:
                upstream.socket.close()
