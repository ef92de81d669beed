#include "common/pg/record_data.hpp"

#include "common/pg/record_scan.hpp"

#include <algorithm>

namespace walgd::pg {

namespace {

// The parts before a record's main data.
constexpr unsigned short_data = 255, long_data = 254, origin = 253, top_level_xid = 252;

} // namespace

std::optional<ByteView> main_data(ByteView record) {
    Fields fields(record.subspan(RecordHeader::bytes));
    for (;;) {
        const auto id = fields.take<std::uint8_t>();
        if (!fields.good()) return std::nullopt;
        if (id == short_data || id == long_data) {
            const auto bytes = id == short_data ? fields.take<std::uint8_t>() : fields.take<std::uint32_t>();
            if (!fields.good()) return std::nullopt;
            return fields.rest().first(std::min<std::size_t>(bytes, fields.rest().size()));
        }
        if (id == origin)
            fields.skip(sizeof(std::uint16_t));
        else if (id == top_level_xid)
            fields.skip(sizeof(std::uint32_t));
        else
            return std::nullopt;
    }
}

} // namespace walgd::pg
