#pragma once
#include "common/archive/archive.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace walgd::archive {

/// The object of one WAL file, open for reading.
struct WalObject {
    storage::ObjectKey key;
    const codec::Compression* compression;
    std::unique_ptr<storage::ObjectReader> reader;
};

/// Finds the object of a WAL file, whose suffix may be any method's, at as few requests as it takes. On the I/O thread.
class WalFinder {
public:
    explicit WalFinder(Archive& archive) : archive_(archive), expected_(archive.packing.compression) {}

    /// Nothing: the storage answered that there is none, under no suffix. A file with the expected suffix costs one GET. One
    /// that is not there costs one LIST, if that could be foreseen (a history file, a newer timeline, or asked for in vain
    /// before, as a standby does for ever), else a GET and a LIST. Error(corrupt) where there is one that nothing here unpacks.
    awaitable<std::optional<WalObject>> find(std::string name);
    /// Looks only where it is expected: one GET. Nothing says little: the suffix may be another one.
    awaitable<std::optional<WalObject>> find_expected(std::string name);

private:
    bool hardly_there(const std::string& name) const;
    void note_missed(const std::string& name);
    void note_found(const std::string& name, const codec::Compression* compression);
    /// The objects that hold `name`, as far as a listing tells; the expected suffix first.
    awaitable<std::vector<WalObject>> list(std::string name);

    Archive& archive_;
    const codec::Compression* expected_; ///< of what was found last, at first the configured one
    std::string timeline_;               ///< eight digits, of the segment that was found last
    std::deque<std::string> missed_;     ///< asked for in vain, oldest first
};

} // namespace walgd::archive
