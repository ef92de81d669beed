#pragma once
#include "client/walg/verb.hpp"
#include "common/archive/retention/retention_apply.hpp"

#include <string>

/// How a plan to delete is shown, and carried out.
namespace walgd::cli {

/// For people: each backup with what becomes of it and why, the WAL that goes, and in all how much.
std::string plan_text(const archive::Inventory& inventory, const archive::RetentionPlan& plan);
std::string plan_json(const archive::Inventory& inventory, const archive::RetentionPlan& plan);
/// For `delete everything`, which looks at no backup.
std::string objects_json(const std::string& storage, const std::vector<std::string>& paths);
/// The objects that go, in the order in which WAL-G lists them.
std::vector<std::string> marked_objects(const archive::RetentionPlan& plan);

/// Says what was removed, and what could not be, each by name. The exit code.
int report_removal(Context& context, const archive::Removal& removal);
/// Says where removed objects are not gone: versioned buckets, locks.
void tell_what_stays(Context& context);

} // namespace walgd::cli
