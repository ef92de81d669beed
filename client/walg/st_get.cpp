#include "client/walg/st.hpp"
#include "common/archive/chain.hpp"
#include "common/base/files.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

namespace walgd::cli {

namespace {

namespace fs = std::filesystem;

/// Ends a chain in a descriptor.
class FileSink : public codec::Sink {
public:
    FileSink(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
    void write(ByteView bytes) override { write_all(fd_, bytes, path_); }
    void finish() override {}

private:
    int fd_;
    std::string path_;
};

/// What nobody reads any more ends us by the signal, as it ends cat(1).
class StdoutSink : public codec::Sink {
public:
    void write(ByteView bytes) override {
        try {
            write_all(STDOUT_FILENO, bytes, "stdout");
        } catch (const Error&) {
            pollfd reader{STDOUT_FILENO, POLLOUT, 0};
            if (::poll(&reader, 1, 0) != 1 || (reader.revents & (POLLERR | POLLHUP)) == 0) throw;
            std::signal(SIGPIPE, SIG_DFL);
            std::raise(SIGPIPE);
            throw;
        }
    }
    void finish() override {}
};

struct Decoding {
    bool decrypt = false, decompress = false;
};

const codec::Compression* method_of(Context& context, const std::string& path) {
    const auto extension = fs::path(path).extension().string();
    if (const auto* method = extension.size() > 1 ? codec::compression_by_suffix(extension.substr(1)) : nullptr) return method;
    if (!context.as_walg && extension.empty()) return codec::compression_by_suffix("");
    context.log.warn(
        "decompressor for extension '{}' was not found (supported methods: [lz4 lzma none brotli zstd]), will download "
        "uncompressed",
        extension);
    return codec::compression_by_suffix("");
}

void download(StorageTools& tools, const std::string& path, codec::Sink& end, Decoding decoding) {
    auto& archive = tools.target.archive();
    const storage::ObjectKey key(clean_path(path));
    auto& io = tools.context.io;
    OnIoThread reader(io, run_blocking(io, archive.storage.get(key, {}), tools.context.stop));
    if (!reader)
        throw Error(ErrorKind::refused, fmt::format("object '{}' not found in storage", path), "st ls shows what there is");
    const auto* method = decoding.decompress ? method_of(tools.context, path) : codec::compression_by_suffix("");
    archive::UnpackChain chain(decoding.decrypt ? archive.packing.cipher : nullptr, *method, end);
    Blob chunk(chunk_bytes);
    for (;;) {
        const auto count = run_blocking(io, reader->read({chunk.data(), chunk.capacity()}), tools.context.stop);
        if (count == 0) break;
        chain.head().write({chunk.data(), count});
    }
    chain.head().finish();
}

class Cat : public StorageTool {
public:
    std::string name() const override { return "cat"; }
    std::string help() const override { return "Write an object to stdout, as it is stored"; }
    void options(CLI::App& command) override {
        command.add_option("path", path_, "The object")->required();
        command.add_flag("--decrypt", decoding_.decrypt, "Decrypt it");
        command.add_flag("--decompress", decoding_.decompress, "Decompress it, as its suffix says");
    }

    int run(StorageTools& tools) override {
        StdoutSink out;
        try {
            if (!tools.glob) download(tools, path_, out, decoding_);
            if (tools.glob) {
                for (const auto& object : objects_matching(tools, clean_path(path_)))
                    download(tools, object.key.path(), out, decoding_);
            }
        } catch (const Error& error) {
            throw error.within("download the file");
        }
        return 0;
    }

private:
    std::string path_;
    Decoding decoding_;
};

class Get : public StorageTool {
public:
    std::string name() const override { return "get"; }
    std::string help() const override { return "Fetch an object into a file, decrypted and decompressed"; }
    void options(CLI::App& command) override {
        command.add_option("path", path_, "The object")->required();
        command.add_option("destination", destination_, "A file that does not exist yet, or a folder")->required();
        command.add_flag("--no-decrypt", no_decrypt_, "Leave it encrypted");
        command.add_flag("--no-decompress", no_decompress_, "Leave it compressed");
    }

    int run(StorageTools& tools) override {
        if (!tools.glob) get(tools, path_);
        if (tools.glob) {
            for (const auto& object : objects_matching(tools, clean_path(path_))) get(tools, object.key.path());
        }
        return 0;
    }

private:
    void get(StorageTools& tools, const std::string& path) const {
        std::error_code none;
        const auto target =
            fs::is_directory(destination_, none) ? (fs::path(destination_) / fs::path(path).filename()).string() : destination_;
        auto fd = open_file(target, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        try {
            FileSink end(fd.get(), target);
            download(tools, path, end, {.decrypt = !no_decrypt_, .decompress = !no_decompress_});
            fd.close(target);
        } catch (const Error& error) {
            ::unlink(target.c_str());
            throw error.within("Failed to download the file");
        }
    }

    std::string path_, destination_;
    bool no_decrypt_ = false, no_decompress_ = false;
};

} // namespace

std::unique_ptr<StorageTool> make_st_cat() { return std::make_unique<Cat>(); }
std::unique_ptr<StorageTool> make_st_get() { return std::make_unique<Get>(); }

} // namespace walgd::cli
