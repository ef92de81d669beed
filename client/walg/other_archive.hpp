#pragma once
#include "client/walg/verb.hpp"
#include "config/failover_settings.hpp"

namespace walgd::cli {

/// Another archive than the one that the settings name: that of a settings file, and of nothing else (neither environment nor
/// command line), as WAL-G's copy reads it. Where the file has no credentials they are found as Amazon's SDK finds them.
class OtherArchive {
public:
    OtherArchive(Context& context, const std::string& config_file);
    ~OtherArchive() { context_.add_requests(*setup_.archive().meter); }
    archive::Archive& archive() { return setup_.archive(); }
    const config::Settings& settings() const { return settings_; }

private:
    Context& context_;
    config::Settings settings_;
    config::ArchiveSetup setup_;
};

/// What a storage's name means: the primary storage ("default"), a failover storage, all of them as one ("all"), or else the
/// archive of the settings file of that name.
class NamedArchive {
public:
    NamedArchive(Context& context, const std::string& name);
    ~NamedArchive();
    archive::Archive& archive();
    const config::Settings& settings() const;

private:
    Context& context_;
    std::unique_ptr<OtherArchive> other_;
    std::optional<config::StorageSettings> one_; ///< of several
    std::unique_ptr<config::ArchiveSetup> setup_;
};

} // namespace walgd::cli
