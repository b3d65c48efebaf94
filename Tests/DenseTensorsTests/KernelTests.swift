import CKernels
import Foundation
import Synchronization
import Testing

/// The instruction sets that this machine can run.
let instructionSets: [String] = {
  let current = String(cString: fs_isa_name())
  defer { _ = fs_isa_select(current) }
  return ["portable", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx"].filter { fs_isa_select($0) }
}()

/// Runs `body` under an instruction set and goes back to the one before.
func withInstructionSet<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
  let current = String(cString: fs_isa_name())
  precondition(fs_isa_select(name))
  defer { _ = fs_isa_select(current) }
  return try body()
}

/// Kernels are compared with their definition in double precision on every instruction set, at awkward sizes, in
/// buffers that end at a guard page. One after another, so that layers among them have the threads to themselves.
@Suite("Kernels", .serialized)
struct KernelTests {
  /// Around the vectors of all instruction sets and the panels, and primes.
  static let sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 61, 127]

  @Test func instructionSetsAreChosenByName() {
    let current = String(cString: fs_isa_name())
    #expect(instructionSets.contains("portable") && instructionSets.contains(current))
    for name in instructionSets {
      withInstructionSet(name) { #expect(String(cString: fs_isa_name()) == name) }
      #expect(!fs_isa_select("of another planet") && String(cString: fs_isa_name()) == current)
    }
  }

  /// A choice holds for the thread that made it and for its tasks, wherever these run, and for nobody else.
  @Test func aChosenInstructionSetIsTheThreadsOwn() {
    let pool = fs_pool_create(3)
    /// How many of 1000 tasks run under the caller's instruction set.
    func agreeingTasks() -> Int {
      final class Count: Sendable {
        let name = String(cString: fs_isa_name())
        let value = Atomic(0)
      }
      let count = Count()
      let body: @convention(c) (UnsafeMutableRawPointer?, Int64) -> Void = { context, _ in
        let count = Unmanaged<Count>.fromOpaque(context!).takeUnretainedValue()
        if String(cString: fs_isa_name()) == count.name { count.value.add(1, ordering: .relaxed) }
      }
      fs_pool_run(pool, 1000, body, Unmanaged.passUnretained(count).toOpaque())
      return withExtendedLifetime(count) { count.value.load(ordering: .relaxed) }
    }
    final class Name: Sendable {
      let value = Mutex("")
      let isKnown = DispatchSemaphore(value: 0)
    }
    func nameOnAnotherThread() -> String {
      let name = Name()
      Thread {
        name.value.withLock { $0 = String(cString: fs_isa_name()) }
        name.isKnown.signal()
      }.start()
      name.isKnown.wait()
      return name.value.withLock { $0 }
    }
    let usual = nameOnAnotherThread()
    for name in instructionSets {
      withInstructionSet(name) { #expect(agreeingTasks() == 1000 && nameOnAnotherThread() == usual) }
      #expect(agreeingTasks() == 1000)
    }
  }
}

/// Half of the distance from 1 to the next float: what one rounding to nearest costs at most, relatively.
let roundoff = 0x1p-24

/// Below this, floats have fewer digits.
let leastNormal = 0x1p-126

/// A simple generator for test data: the same numbers in every run.
struct TestNumbers {
  private var state: UInt64

  init(seed: UInt64 = 1) {
    state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
  }

  /// In -1 ... 1.
  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 33)) / Float(1 << 30) - 1
  }

  mutating func array(_ count: Int) -> [Float] {
    (0..<count).map { _ in next() }
  }

  mutating func integer(below bound: Int) -> Int {
    min(Int((next() + 1) / 2 * Float(bound)), bound - 1)
  }

  /// Cuts `0 ..< count` at random into pieces in a random order.
  mutating func pieces(of count: Int, atMost size: Int) -> [Range<Int>] {
    var pieces: [Range<Int>] = []
    var start = 0
    while start < count {
      let end = min(start + 1 + integer(below: size), count)
      pieces.insert(start..<end, at: integer(below: pieces.count + 1))
      start = end
    }
    return pieces
  }
}
