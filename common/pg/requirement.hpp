#pragma once
#include "common/pg/record_scan.hpp"
#include "common/pg/standby_settings.hpp"

#include <optional>
#include <string>
#include <variant>

/// Records over which recovery goes only where the host or the configuration has what they ask for, of PostgreSQL 13 to 18.
namespace walgd::pg {

/// Recovery makes the tablespace in `location`, which must be there; empty: in the data directory
/// (allow_in_place_tablespaces).
struct TablespaceCreated {
    std::uint32_t oid = 0;
    std::string location;
    friend bool operator==(const TablespaceCreated&, const TablespaceCreated&) = default;
};

/// The server had these settings from here on.
using Requirement = std::variant<TablespaceCreated, StandbySettings>;

/// What a record asks for; nothing for every other record, and for one that is cut. The formats: xl_tblspc_create_rec in
/// src/include/commands/tablespace.h, xl_parameter_change in access/xlog_internal.h.
std::optional<Requirement> parse_requirement(const RecordHeader& header, ByteView record);

} // namespace walgd::pg
