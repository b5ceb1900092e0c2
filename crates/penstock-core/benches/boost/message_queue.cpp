// Passes items from one process to another through Boost's message queue, and prints how many nanoseconds it took:
// message_queue COUNT CAPACITY BYTES. Used by ../two_processes.rs.

#include <boost/interprocess/ipc/message_queue.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

using boost::interprocess::message_queue;

int main(int, char **argv) {
    const unsigned long count = std::stoul(argv[1]), capacity = std::stoul(argv[2]), bytes = std::stoul(argv[3]);
    const std::string name = "penstock-bench-" + std::to_string(getpid());
    message_queue queue(boost::interprocess::create_only, name.c_str(), capacity, bytes);
    int ready[2];
    if (pipe(ready) != 0) return 1;
    const pid_t producer = fork();
    if (producer == 0) {
        message_queue own(boost::interprocess::open_only, name.c_str());
        const std::vector<char> item(bytes, 7);
        if (write(ready[1], "r", 1) != 1) _exit(1);
        for (unsigned long sent = 0; sent < count; ++sent) own.send(item.data(), bytes, 0);
        _exit(0);
    }
    std::vector<char> item(bytes);
    message_queue::size_type size;
    unsigned int priority;
    char word;
    if (read(ready[0], &word, 1) != 1) return 1;
    const auto started = std::chrono::steady_clock::now();
    for (unsigned long got = 0; got < count; ++got) queue.receive(item.data(), bytes, size, priority);
    const auto took = std::chrono::steady_clock::now() - started;
    waitpid(producer, nullptr, 0);
    message_queue::remove(name.c_str());
    std::cout << std::chrono::duration_cast<std::chrono::nanoseconds>(took).count() << '\n';
}
