#pragma once
#include "common/archive/documents.hpp"
#include "common/base/handles.hpp"
#include "common/codec/sink.hpp"

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace walgd::backup {

/// Collects what files_metadata.json says, in temporary files that have no name: the document can pass 1 GB. add() and
/// part() from any thread.
class FilesSpool {
public:
    FilesSpool();
    void add(std::string_view member, const archive::FileDescription& file);
    void part(std::string tar, const std::vector<std::string>& members);
    /// Writes the document into `out` and finishes it. Once.
    void finish(codec::Sink& out);

private:
    struct Part {
        std::string tar;
        std::uint64_t offset = 0;
        std::size_t bytes = 0;
    };
    void append_text(std::string_view text);

    std::mutex mutex_;
    UniqueFd text_, members_;
    std::string buffer_;
    std::uint64_t members_bytes_ = 0;
    archive::FilesMetadataWriter writer_;
    std::vector<Part> parts_;
};

} // namespace walgd::backup
