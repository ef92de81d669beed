#pragma once
#include "common/archive/documents.hpp"
#include "common/base/error.hpp"

#include <fmt/format.h>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace walgd::archive {

/// A part of FilesMetadataReader, for what the document says of relations:
/// DatabasesByNames: database / tables_new / relation [/ subtables / relation] / "oid" or "relfilenode"; in older backups
/// database / tables / relation, a number.
class RelationNames {
public:
    RelationNames(FilesMetadataReader::Callbacks& callbacks, const std::string& object)
        : callbacks_(callbacks), object_(object) {}

    void number(const std::vector<std::string>& path, std::uint64_t value) {
        if (path.size() < 2) return;
        const auto& field = path.back();
        if (path.size() == 2 && field == "oid") database_oid_ = oid(path, value);
        if (path.size() == 3 && path[1] == "tables") tell({field, {}, oid(path, value), oid(path, value)});
        const bool subtable = path.size() == 6 && path[3] == "subtables";
        if (path[1] != "tables_new" || (path.size() != 4 && !subtable)) return;
        auto& relation = subtable ? child_ : table_;
        if (field == "oid") relation.oid = oid(path, value);
        if (field == "relfilenode") relation.file_node = oid(path, value);
    }
    /// An object ended whose keys are `path`; the last one is its own.
    void end(const std::vector<std::string>& path) {
        if (path.size() == 1) {
            if (callbacks_.database) callbacks_.database(path[0], database_oid_);
            database_oid_ = 0;
        }
        if (path.size() == 3 && path[1] == "tables_new") {
            table_.name = path[2];
            tell(std::exchange(table_, {}));
        }
        if (path.size() == 5 && path[1] == "tables_new" && path[3] == "subtables") {
            child_.name = path[4];
            child_.parent = path[2];
            tell(std::exchange(child_, {}));
        }
    }

private:
    void tell(const RelationEntry& relation) {
        if (callbacks_.relation) callbacks_.relation(relation);
    }
    std::uint32_t oid(const std::vector<std::string>& path, std::uint64_t value) const {
        if (value <= std::numeric_limits<std::uint32_t>::max()) return static_cast<std::uint32_t>(value);
        throw Error(ErrorKind::corrupt, fmt::format("{}: {} of {} is not an oid", object_, value, path.back()));
    }
    FilesMetadataReader::Callbacks& callbacks_;
    const std::string& object_;
    std::uint32_t database_oid_ = 0;
    RelationEntry table_, child_;
};

} // namespace walgd::archive
