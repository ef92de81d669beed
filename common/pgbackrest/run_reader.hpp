#pragma once
#include "common/backup/progress.hpp"
#include "common/backup/restore/restore_target.hpp"
#include "common/codec/sink.hpp"
#include "common/pgbackrest/restore_plan.hpp"

#include <memory>
#include <string>

namespace walgd::pgbackrest {

/// Takes the bytes of one run, in any cut, and writes its files: each is decompressed, and its size and SHA-1 must be the
/// manifest's. Errors name the object and the file.
class RunReader : public codec::Sink {
public:
    /// All must outlive it. `object`: for messages.
    RunReader(const Manifest& manifest, const RestoreRuns& plan, const StoredRun& run, std::string object,
              backup::RestoreTarget& target, backup::Progress& progress);
    ~RunReader() override;

    void write(ByteView bytes) override;
    void finish() override;

private:
    class FileSink;
    const ManifestFile& file() const;
    void begin_file();
    void end_file();
    [[noreturn]] void refuse(std::string_view why) const;

    const Manifest& manifest_;
    const RestoreRuns& plan_;
    const StoredRun& run_;
    std::string object_;
    backup::RestoreTarget& target_;
    backup::Progress& progress_;
    std::size_t done_ = 0;                  ///< files of the run
    std::uint64_t at_, gap_ = 0, left_ = 0; ///< place in the object; bytes until the file begins; bytes of the file to come
    std::unique_ptr<FileSink> sink_;
    std::unique_ptr<codec::Sink> decompress_;
};

} // namespace walgd::pgbackrest
