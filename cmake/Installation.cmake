include(GNUInstallDirs)

# The agent lives beside its users' other libraries; `asyncdump run` looks for it relative to its own executable.
set(ASYNCDUMP_AGENT_DESTINATION ${CMAKE_INSTALL_LIBDIR}/asyncdump)
