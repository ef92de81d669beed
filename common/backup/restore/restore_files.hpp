#pragma once
#include "common/archive/documents.hpp"

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace walgd::backup {

/// What is taken of every file out of which backup of a chain, decided from the backups' files metadata before anything is
/// fetched: the newest whole copy, and the increments that are newer. Links of the chain are counted from the newest, 0. Names
/// are relative to the data directory and kept as hashes: 16 bytes a file, and as many an increment.
///
/// First filled link by link: start_link(), file() for every entry of that link's metadata, end_link(). Then asked, by any
/// thread.
class RestoreFiles {
public:
    enum class Take {
        nothing,   ///< not wanted, or a newer copy is
        whole,     ///< the file as it is
        below,     ///< the file as it is, where no newer increment has a page
        increment, ///< its pages, where no newer increment has them
    };
    using Wanted = std::function<bool(std::string_view relative)>;

    explicit RestoreFiles(std::size_t links) : links_(links), increments_(links) {}

    /// Link 0: every entry that `wanted` lets through is restored.
    void file(std::size_t link, std::string_view relative, const archive::FileDescription& description, const Wanted& wanted);
    /// Error(corrupt) for the first contradiction: `backup` marks files as increments or unchanged that have nothing to build on.
    void end_link(std::size_t link, const std::string& backup);
    /// A link whose backup has no files metadata: the newest one's files are all wanted (only a full can be such), an older
    /// full's are whole.
    void no_metadata(std::size_t link);
    /// The link is a cluster that is there already: what is left are its own files, which nothing is fetched for.
    void own_files(std::size_t link);

    /// Before end_link(link): whether something of `link` may be needed for the file.
    bool may_need(std::size_t link, std::string_view relative) const;
    /// Error(corrupt) when metadata and tar contradict each other.
    Take take(std::size_t link, std::string_view relative) const;
    /// The link has the file's content. False: it was seen in that link before.
    bool see(std::size_t link, std::string_view relative);
    bool see(std::size_t link, std::uint64_t name);
    /// How many files or increments were never seen.
    std::size_t missing_count() const;
    bool is_missing(std::string_view relative) const;

    /// Whether the newest backup has it; only known of what was seen where there is no metadata.
    bool knows(std::string_view relative) const;
    std::size_t count() const { return files_.size(); }

private:
    static constexpr std::uint16_t undecided = 0xffff;
    struct File {
        std::uint64_t name;
        std::uint16_t base = undecided; ///< link of the newest whole copy
        std::uint16_t known = 0;        ///< oldest link whose metadata knows it
        bool seen = false;
    };
    struct Increment {
        std::uint64_t name;
        bool seen = false;
    };
    const File* find(std::uint64_t name) const;
    File* find(std::uint64_t name) { return const_cast<File*>(std::as_const(*this).find(name)); }
    Increment* increment(std::size_t link, std::uint64_t name);
    const Increment* increment(std::size_t link, std::uint64_t name) const {
        return const_cast<RestoreFiles*>(this)->increment(link, name);
    }
    void add_older(std::size_t link, std::uint64_t name, const archive::FileDescription& description);

    std::size_t links_;
    std::vector<File> files_; ///< sorted by name once link 0 has ended
    std::vector<std::vector<Increment>> increments_;
    bool everything_ = false;                  ///< link 0 has no metadata
    std::unordered_set<std::uint64_t> others_; ///< seen of it then
    mutable std::mutex mutex_;                 ///< guards what was seen
};

} // namespace walgd::backup
