//! How fast do items go from one process to another? Beside Boost's message queue, where a C++ compiler and Boost's
//! headers are installed: `boost/message_queue.cpp` is the same on that.

mod common;

use common::{Place, create, get, open, put};
use criterion::{BenchmarkId, Criterion, Throughput};
use penstock_core::slots::INLINE_MAX;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

const CAPACITY: u64 = 10;
const SIZES: [usize; 3] = [4, 64, 1024];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, place, bytes] = arguments.as_slice()
        && word == "produce"
    {
        return produce(Path::new(place), bytes.parse().expect("a size"));
    }
    let mut criterion = Criterion::default().configure_from_args();
    two_processes(&mut criterion);
    criterion.final_summary();
}

fn two_processes(criterion: &mut Criterion) {
    let place = Place::new("two-processes");
    let boost = compile_boost(place.path());
    let mut group = criterion.benchmark_group("one process to another");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for bytes in SIZES {
        let queue = create(place.path(), CAPACITY, bytes);
        let mut producer = Producer::start(place.path(), bytes);
        let (mut small, mut large) = ([0; INLINE_MAX], vec![0; bytes]);
        group.bench_function(BenchmarkId::new("penstock", bytes), |bencher| {
            bencher.iter_custom(|count| {
                producer.send(count);
                let started = Instant::now();
                (0..count).for_each(|_| get(&queue, &mut small, &mut large));
                started.elapsed()
            });
        });
        if let Some(program) = &boost {
            group.bench_function(BenchmarkId::new("boost message_queue", bytes), |bencher| {
                bencher.iter_custom(|count| run_boost(program, count, bytes));
            });
        }
    }
    group.finish();
}

/// A process that puts as many items as it is told to, again and again.
struct Producer {
    child: Child,
    orders: ChildStdin,
}

impl Producer {
    fn start(place: &Path, bytes: usize) -> Producer {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["produce", &place.display().to_string(), &bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let orders = child.stdin.take().expect("its input");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut ready)
            .expect("it says that it is there");
        Producer { child, orders }
    }

    fn send(&mut self, count: u64) {
        writeln!(self.orders, "{count}").expect("the child lives");
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn produce(place: &Path, bytes: usize) {
    let queue = open(place);
    let item = vec![7; bytes];
    println!("ready");
    for order in std::io::stdin().lines().map_while(Result::ok) {
        let count: u64 = order.parse().expect("a number");
        (0..count).for_each(|_| put(&queue, &item));
    }
}

fn run_boost(program: &Path, count: u64, bytes: usize) -> Duration {
    let arguments = [count, CAPACITY, bytes as u64].map(|number| number.to_string());
    let done = Command::new(program).args(arguments).output().expect("the program runs");
    let nanos = String::from_utf8_lossy(&done.stdout).trim().parse().expect("it prints nanoseconds");
    Duration::from_nanos(nanos)
}

/// `None`, with the reason said, where it cannot be compiled.
fn compile_boost(place: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/boost/message_queue.cpp");
    let program = place.join("message_queue");
    let compiler = Command::new("c++").args(["-std=c++17", "-O2", "-o"]).arg(&program).arg(source).arg("-lrt").output();
    match compiler {
        Ok(done) if done.status.success() => Some(program),
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            eprintln!("left out: boost::interprocess, {}", said.lines().next().unwrap_or("c++ fails"));
            None
        }
        Err(error) => {
            eprintln!("left out: boost::interprocess, as there is no c++ ({error})");
            None
        }
    }
}
