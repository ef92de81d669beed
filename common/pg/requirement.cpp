#include "common/pg/requirement.hpp"

#include "common/pg/record_data.hpp"

namespace walgd::pg {

namespace {

std::optional<Requirement> tablespace_created(ByteView data) {
    Fields fields(data);
    TablespaceCreated created;
    created.oid = fields.take<std::uint32_t>();
    const auto text = text_of(fields.rest());
    const auto end = text.find('\0');
    if (!fields.good() || end == text.npos) return std::nullopt;
    created.location = text.substr(0, end);
    return created;
}

std::optional<Requirement> parameter_change(ByteView data) {
    Fields fields(data);
    StandbySettings settings;
    for (auto& value : settings.values) value = fields.take<std::uint32_t>();
    settings.wal_level = fields.take<std::uint32_t>();
    if (!fields.good()) return std::nullopt;
    return settings;
}

} // namespace

std::optional<Requirement> parse_requirement(const RecordHeader& header, ByteView record) {
    const auto kind = header.info & 0xF0U;
    const bool tablespace = header.manager == manager::tablespace && kind == tablespace_kind::create;
    const bool parameters = header.manager == manager::xlog && kind == xlog_kind::parameter_change;
    if (record.size() < RecordHeader::bytes || (!tablespace && !parameters)) return std::nullopt;
    const auto data = main_data(record);
    if (!data) return std::nullopt;
    return tablespace ? tablespace_created(*data) : parameter_change(*data);
}

} // namespace walgd::pg
