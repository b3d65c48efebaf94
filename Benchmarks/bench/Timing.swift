/// Times of jobs, in milliseconds.
enum Timing {
  static func milliseconds(of job: () async throws -> Void) async rethrows -> Double {
    let start = ContinuousClock.now
    try await job()
    return (ContinuousClock.now - start) / .milliseconds(1)
  }

  /// The times of a job's runs, after one that warms the caches.
  static func times(runs: Int, of job: () async throws -> Void) async rethrows -> [Double] {
    try await job()
    var times: [Double] = []
    for _ in 0..<runs { times.append(try await milliseconds(of: job)) }
    return times
  }

  static func median(runs: Int, of job: () async throws -> Void) async rethrows -> Double {
    try await times(runs: runs, of: job).median
  }
}

/// The times of a job and of another in rounds that take both, since the machine may be busy with other things.
struct Turns {
  private(set) var job: [Double] = []
  private(set) var baseline: [Double] = []

  /// Warms both up, and then times them, in turns the first, so that neither always finds the other's caches.
  init(
    rounds: Int, of job: () async throws -> Void, over baseline: () async throws -> Void
  ) async rethrows {
    try await baseline()
    try await job()
    for round in 0..<rounds {
      if round.isMultiple(of: 2) { self.baseline.append(try await Timing.milliseconds(of: baseline)) }
      self.job.append(try await Timing.milliseconds(of: job))
      if !round.isMultiple(of: 2) { self.baseline.append(try await Timing.milliseconds(of: baseline)) }
    }
  }

  /// How many times faster the job is than the other: the median over the rounds.
  var speedup: Double { zip(baseline, job).map { $0 / $1 }.median }

  /// The same of the shortest times, for few rounds of long jobs.
  var bestSpeedup: Double { (baseline.min() ?? .nan) / (job.min() ?? .nan) }
}

extension [Double] {
  /// - Precondition: there is one or more.
  var median: Double { sorted()[count / 2] }
}
