# Clang 18 and later say in a mangled name what constrains a template (Tk, Tn, Q). The demangler of libstdc++ 12 does not
# know these parts, that of LLVM 18 and later does. It is one object file of libc++abi's archive; under another name it
# stands beside libstdc++'s. Without it (package libc++abi-19-dev) such names are shown as they are.
#
#   asyncdump_link_llvm_demangler(TARGET) defines ASYNCDUMP_HAS_LLVM_DEMANGLER=0 or 1 for the target's sources

file(GLOB llvm_folders /usr/lib/llvm-*/lib)
list(FILTER llvm_folders INCLUDE REGEX "llvm-(1[89]|[2-9][0-9])/lib$")
list(SORT llvm_folders COMPARE NATURAL ORDER DESCENDING)
find_library(ASYNCDUMP_LIBCXXABI NAMES libc++abi.a HINTS ${llvm_folders} NO_DEFAULT_PATH)

function(asyncdump_link_llvm_demangler target)
    if(NOT ASYNCDUMP_LIBCXXABI OR NOT CMAKE_OBJCOPY)
        message(STATUS "libc++abi.a of LLVM 18 or later not found: names of constrained templates stay mangled")
        target_compile_definitions(${target} PRIVATE ASYNCDUMP_HAS_LLVM_DEMANGLER=0)
        return()
    endif()
    set(object ${CMAKE_CURRENT_BINARY_DIR}/llvm_demangler.o)
    add_custom_command(OUTPUT ${object}
        COMMAND ${CMAKE_AR} x ${ASYNCDUMP_LIBCXXABI} cxa_demangle.cpp.o
        COMMAND ${CMAKE_OBJCOPY} --redefine-sym __cxa_demangle=asyncdump_llvm_demangle
                --redefine-sym abort_message=asyncdump_llvm_demangler_failed cxa_demangle.cpp.o ${object}
        DEPENDS ${ASYNCDUMP_LIBCXXABI}
        WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}
        VERBATIM)
    target_sources(${target} PRIVATE ${object})
    set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    target_compile_definitions(${target} PRIVATE ASYNCDUMP_HAS_LLVM_DEMANGLER=1)
endfunction()
