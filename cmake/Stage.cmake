# A stage is a folder, a static library and a set of headers that nobody sees who does not link it.
#
#   asyncdump_stage(process SOURCE_DIR inspect/process USES base)
#
# Headers are included as "process/memory.h". Each stage has an include root of its own, holding nothing but a
# link to its folder, so that an include of a stage that is not in USES (directly or through another stage)
# does not compile.

add_library(asyncdump_warnings INTERFACE)
target_compile_options(asyncdump_warnings INTERFACE -Wall -Wextra -Wconversion -Wshadow)

function(asyncdump_include_root target scope name folder)
    set(root ${CMAKE_BINARY_DIR}/include-roots/${name})
    file(MAKE_DIRECTORY ${root})
    file(CREATE_LINK ${folder} ${root}/${name} SYMBOLIC)
    target_include_directories(${target} ${scope} ${root})
endfunction()

function(asyncdump_stage name)
    cmake_parse_arguments(ARG "" "" "SOURCES;USES;LIBRARIES;PRIVATE_LIBRARIES" ${ARGN})
    add_library(asyncdump_${name} STATIC ${ARG_SOURCES})
    asyncdump_include_root(asyncdump_${name} PUBLIC ${name} ${CMAKE_CURRENT_SOURCE_DIR})
    foreach(used IN LISTS ARG_USES)
        target_link_libraries(asyncdump_${name} PUBLIC asyncdump_${used})
    endforeach()
    target_link_libraries(asyncdump_${name} PUBLIC ${ARG_LIBRARIES} PRIVATE asyncdump_warnings
                                                   ${ARG_PRIVATE_LIBRARIES})
endfunction()
