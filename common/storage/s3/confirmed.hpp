#pragma once
#include "common/storage/s3/client.hpp"

#include <string>

/// When a server's yes is believed.
namespace walgd::storage {

/// A 200 may come from something between us and the storage: Error(transient) then. The storage itself names an ETag with every
/// object.
void check_is_s3(const HttpHead& head, const std::string& what);
/// Some storages name a checksum of what they stored too: Error(transient) where it is not that of `request`. (An ETag is not an
/// MD5 everywhere, so nothing is compared with it; the storage has compared the body with its signed SHA-256.)
void check_confirmed(const HttpHead& head, const S3Request& request);

/// Of an answer to a copy with a status of 200, 404, 405 or 501: whether the server went about it at all.
CopyOutcome outcome_of_copy(const S3Answer& answer, const std::string& what);

} // namespace walgd::storage
