#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/documents.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace walgd::backup {

/// The members of a delta's parent with their modification times: a file may be left out of a delta, or be an increment, only if
/// the parent has it. Names are kept as hashes, 24 bytes a file, since there may be millions.
class ParentFiles {
public:
    /// 128 bits of a name's SHA-256.
    using Name = std::array<std::uint64_t, 2>;
    static Name hash(std::string_view member);
    void add(std::string_view member, Time modified);
    /// After the last add(), before the first find().
    void seal();
    std::optional<Time> find(std::string_view member) const { return find(hash(member)); }
    std::optional<Time> find(const Name& name) const;
    std::size_t size() const { return files_.size(); }

private:
    struct File {
        Name name;
        std::int64_t modified; ///< nanoseconds
    };

    std::vector<File> files_;
};

/// Out of the files_metadata.json of `backup`. Error(corrupt) when it is not there or damaged.
ParentFiles read_parent_files(archive::Archive& archive, const std::string& backup, std::stop_token stop);

} // namespace walgd::backup
