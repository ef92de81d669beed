#include "common/storage/s3/answers.hpp"

#include <cstdlib>

/// First byte: which answer. Anything may be refused, only as an Error that a retry or a person can deal with.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    try {
        switch (data[0] % 10) {
        case 0:
            storage::parse_list(text);
            break;
        case 1:
            storage::parse_delete(text);
            break;
        case 2:
            storage::parse_upload_id(text);
            break;
        case 3:
            storage::parse_uploads(text);
            break;
        case 4:
            storage::parse_location(text);
            break;
        case 5:
            storage::check_complete(text, "cannot complete x");
            break;
        case 6:
            storage::parse_sts(text, "AssumeRole");
            break;
        case 7:
            storage::parse_versioning(text);
            break;
        case 8:
            storage::parse_object_lock(text);
            break;
        default:
            storage::error_of(storage::parse_failure(data[0] * 2, text, "", ""), "cannot put x");
            break;
        }
    } catch (const Error&) {
    }
    return 0;
}
