#pragma once
#include "common/archive/documents.hpp"
#include "common/backup/push/text_spool.hpp"
#include "common/codec/sink.hpp"

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace walgd::backup {

/// Collects what files_metadata.json says, outside memory: the document can pass 1 GB. add() and part() from any thread.
class FilesSpool {
public:
    FilesSpool();
    void add(std::string_view member, const archive::FileDescription& file);
    void part(std::string tar, const std::vector<std::string>& members);
    /// DatabasesByNames, as JSON text; left empty, the document has none.
    TextSpool& databases() { return databases_; }
    /// Writes the document into `out` and finishes it. Once.
    void finish(codec::Sink& out);

private:
    struct Part {
        std::string tar;
        std::uint64_t offset = 0;
        std::size_t bytes = 0;
    };

    std::mutex mutex_;
    TextSpool text_, members_, databases_;
    archive::FilesMetadataWriter writer_;
    std::vector<Part> parts_;
};

} // namespace walgd::backup
