#include "client/walg/st.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <random>

namespace walgd::cli {

namespace {

class Check : public StorageTool {
public:
    std::string name() const override { return "check"; }
    std::string help() const override { return "Try whether the storage can be read, or written to"; }
    void options(CLI::App& command) override {
        command.require_subcommand(1);
        auto* read = command.add_subcommand("read", "List the storage, and look whether these files are there");
        read->fallthrough();
        read->add_option("files", files_, "Objects that should be there");
        command.add_subcommand("write", "Write an object and remove it again")->fallthrough()->callback([this] {
            write_ = true;
        });
    }

    bool in_each_storage() const override { return true; }

    int run(StorageTools& tools) override {
        if (write_)
            check_write(tools);
        else
            check_read(tools);
        return 0;
    }

private:
    void check_read(StorageTools& tools) const {
        auto& storage = tools.target.archive().storage;
        try {
            run_blocking(tools.context.io, storage.list("", {}), tools.context.stop);
        } catch (const Error& error) {
            throw error.within("failed to list the storage");
        }
        std::vector<std::string> missing;
        for (const auto& file : files_) {
            if (!run_blocking(tools.context.io, storage.head(storage::ObjectKey(clean_path(file))), tools.context.stop))
                missing.push_back(file);
        }
        if (!missing.empty()) throw Error(ErrorKind::refused, fmt::format("files are missing: {}", fmt::join(missing, ", ")));
        tools.context.log.info("Read check OK");
    }

    static void check_write(StorageTools& tools) {
        auto& storage = tools.target.archive().storage;
        std::random_device dice;
        const storage::ObjectKey key(fmt::format("{:08x}{:08x}{:08x}{:08x}", dice(), dice(), dice(), dice()));
        try {
            run_blocking(tools.context.io, storage.put(key, bytes_of("test"), {}), tools.context.stop);
        } catch (const Error& error) {
            throw error.within("failed to write to the storage");
        }
        bool left = true;
        try {
            left = !run_blocking(tools.context.io, storage.remove({key}), tools.context.stop).empty();
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::denied && error.kind() != ErrorKind::misconfigured) throw;
        }
        if (left) tools.context.log.warn("failed to clean temp files, {} left in storage", key.path());
        tools.context.log.info("Write check OK");
    }

    std::vector<std::string> files_;
    bool write_ = false;
};

} // namespace

std::unique_ptr<StorageTool> make_st_check() { return std::make_unique<Check>(); }

} // namespace walgd::cli
