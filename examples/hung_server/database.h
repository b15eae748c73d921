// A client for a database that speaks lines of text over TCP, with a pool of connections.
#pragma once

#include <boost/asio.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <memory>
#include <string>
#include <vector>

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

class Database;

/// A connection taken from the pool. Goes back at the end of its life.
class PooledConnection {
  public:
    PooledConnection(Database& database, tcp::socket& socket) : database_(&database), socket_(&socket) {}
    PooledConnection(PooledConnection&& other) noexcept
        : database_(std::exchange(other.database_, nullptr)), socket_(other.socket_) {}
    PooledConnection& operator=(PooledConnection&&) = delete;
    ~PooledConnection();

    /// Sends one statement and returns the line that the database answers.
    awaitable<std::string> query(std::string statement);

  private:
    Database* database_;
    tcp::socket* socket_;
};

class Database {
  public:
    Database(asio::io_context& io, const tcp::endpoint& server, std::size_t connections);

    /// Waits until a connection is free.
    awaitable<PooledConnection> acquire();

  private:
    friend class PooledConnection;
    void release(tcp::socket& socket) { free_.try_send(boost::system::error_code(), &socket); }

    std::vector<std::unique_ptr<tcp::socket>> sockets_;
    asio::experimental::channel<void(boost::system::error_code, tcp::socket*)> free_;
};

/// Stands in for the real database: answers each statement after a few milliseconds.
awaitable<void> run_stand_in_database(tcp::acceptor& acceptor);
