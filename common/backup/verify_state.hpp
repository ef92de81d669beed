#pragma once
#include "common/archive/retention/retention_inventory.hpp"
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

storage::ObjectKey verify_state_key();
std::string to_json(const VerifyState& state);
/// Error(corrupt) naming `object` when it is not what to_json writes. States of earlier releases name neither key nor damage.
VerifyState parse_verify_state(std::string_view text, const std::string& object);

/// What the last verify found damaged or gone, and was not replaced since, nor removed with its backup. None where nobody
/// verified, or what that left cannot be read.
awaitable<std::vector<Damage>> known_damage(archive::Archive& archive, const archive::Inventory& inventory);
/// A backup without a part that the last verify looked for in vain cannot be restored: one of several is not missed by name.
void note_gone(archive::Inventory& inventory, const std::vector<Damage>& damaged);

} // namespace walgd::backup
