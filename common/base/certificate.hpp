#pragma once
#include <chrono>
#include <optional>

typedef struct x509_st X509;

namespace walgd {

/// When a certificate of OpenSSL's ends (notAfter). Nothing for none, and for one that does not say.
std::optional<std::chrono::system_clock::time_point> certificate_end(const X509* certificate);

} // namespace walgd
