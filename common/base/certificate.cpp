#include "common/base/certificate.hpp"

#include <ctime>
#include <openssl/x509.h>

namespace walgd {

std::optional<std::chrono::system_clock::time_point> certificate_end(const X509* certificate) {
    std::tm parts{};
    if (certificate == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return std::nullopt;
    return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

} // namespace walgd
