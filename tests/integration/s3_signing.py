"""Signature version 4, as far as the tests need it: for requests that walgd never makes."""
import datetime
import hashlib
import hmac
import urllib.parse


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def stamp():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def authorization(method, target, headers, access, secret, region="us-east-1"):
    """The Authorization header. `headers`: lower-case names, all of them signed; x-amz-date and x-amz-content-sha256 among them."""
    path, _, query = target.partition("?")
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    canonical_query = "&".join(f"{urllib.parse.quote(name, safe='-_.~')}={urllib.parse.quote(value, safe='-_.~')}" for name, value in pairs)
    names = sorted(headers)
    fields = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    canonical = f"{method}\n{path}\n{canonical_query}\n{fields}\n{';'.join(names)}\n{headers['x-amz-content-sha256']}"
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/{region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + secret).encode()
    for part in (date[:8], region, "s3", "aws4_request"):
        key = digest(key, part)
    return f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={';'.join(names)}, Signature={digest(key, to_sign).hex()}"
