#pragma once
#include "client/walg/verb.hpp"

namespace walgd::cli {

/// Another archive than the one that the settings name: that of a settings file, and of nothing else (neither environment nor
/// command line), as WAL-G's copy reads it.
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

/// The archive that a storage's name means: "default" (or "all": there is one) the settings', else that of the settings file.
class NamedArchive {
public:
    NamedArchive(Context& context, const std::string& name);
    archive::Archive& archive() { return other_ ? other_->archive() : context_.archive(); }
    const config::Settings& settings() const { return other_ ? other_->settings() : context_.settings; }

private:
    Context& context_;
    std::unique_ptr<OtherArchive> other_;
};

} // namespace walgd::cli
