#include "common/base/error.hpp"
#include "common/pg/control_file.hpp"
#include "common/pg/page.hpp"
#include "common/pg/wal_page.hpp"

#include <cstdlib>

/// PostgreSQL's own bytes: a WAL page's header, pg_control, a data page.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        const auto header = pg::parse_wal_header(bytes, "fuzz");
        pg::check_wal_header(header, "000000010000000000000001", header.segment_bytes);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::refused) std::abort();
    }
    try {
        pg::parse_control_file(bytes, "fuzz");
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) std::abort();
    }
    constexpr std::size_t page_bytes = 8192;
    if (size >= page_bytes) {
        pg::check_page(bytes.first(page_bytes), data[0]);
        pg::page_lsn(bytes.first(page_bytes));
    }
    return 0;
}
