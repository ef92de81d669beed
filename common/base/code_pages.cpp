#include "common/base/code_pages.hpp"

#include <cstdint>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace walgd {

namespace {

int drop_of(dl_phdr_info* object, std::size_t, void*) {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    for (int number = 0; number < object->dlpi_phnum; ++number) {
        const auto& segment = object->dlpi_phdr[number];
        // A page that was written to would lose what is in it.
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
        const auto begin = (object->dlpi_addr + segment.p_vaddr) / page * page;
        const auto end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
        ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    return 0;
}

} // namespace

void drop_code_pages() { ::dl_iterate_phdr(drop_of, nullptr); }

} // namespace walgd
