# The table of docs/suspend-point.md: how many suspend points are told exactly, by compiler and level.
add_executable(suspend_corpus_check suspend_corpus_check.cpp)
target_link_libraries(suspend_corpus_check PRIVATE asyncdump_runtimes asyncdump_warnings fmt::fmt)
add_test(NAME live.suspend_corpus
         COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/suspend_corpus_table.py
                 --checker $<TARGET_FILE:suspend_corpus_check> --sources ${PROJECT_SOURCE_DIR}/tests/targets)
set_tests_properties(live.suspend_corpus PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77 LABELS live PROCESSORS 2)
