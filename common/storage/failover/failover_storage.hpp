#pragma once
#include "common/storage/failover/groups.hpp"
#include "common/storage/failover/members.hpp"
#include "common/storage/failover/remembered_names.hpp"

#include <memory>

namespace walgd::storage {

struct FailoverOptions {
    MembersOptions members;
    AnchorOf anchor_of;    ///< what belongs together
    Neighbours neighbours; ///< what is asked for together
};

/// Several storages as one, WAL-G's failover storages: the primary first, then the others in their order. All of it is on the I/O
/// thread.
///  - A put goes to the first that can be written to. With if_absent it is held against the others that answer as well, so that a
///    name is not given to a second content; not against one that does not answer.
///  - An object is read from the first that has it. That there is none is said only when every storage said so.
///  - A listing is that of all storages, each name once, as the nearest tells it.
///  - A remove is of all storages.
///  - What belongs together (a backup) is put into one storage, and read from the one that has its anchor.
/// answering() is the same without those that do not answer; home() the one that new objects go to.
class Failover {
public:
    /// The storages of `members` outlive this.
    Failover(std::vector<FailoverMember> members, FailoverOptions options, asio::any_io_executor io, Log& log);
    ~Failover();

    Storage& storage();
    const Aliveness& aliveness() const;
    /// Finds out now what each storage can do.
    awaitable<void> check_all();
    /// Keeps what is known of the storages fresh, until it is cancelled. Without it a put finds out what it needs.
    awaitable<void> watch();

private:
    class Shared;
    class View;
    std::unique_ptr<Shared> shared_;
    std::unique_ptr<View> answering_, all_;
};

} // namespace walgd::storage
