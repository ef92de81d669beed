#pragma once
#include "common/backup/verify.hpp"
#include "common/storage/storage.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace walgd::backup {

/// What one verify leaves to the next that goes on from there (--since-last), as walgd_005/verify.json.
struct VerifyState {
    storage::Modified until{}; ///< what was stored until then was read
    std::string key;           ///< of what was stored in that very moment only the objects up to this name; empty: all
    std::vector<Damage> damaged;

    /// Whether an object was read.
    bool covers(const storage::ObjectKey& object, storage::Modified modified) const;
};

std::string to_json(const VerifyState& state);
/// Error(corrupt) naming `object` when it is not what to_json writes. States of earlier releases name neither key nor damage.
VerifyState parse_verify_state(std::string_view text, const std::string& object);

} // namespace walgd::backup
