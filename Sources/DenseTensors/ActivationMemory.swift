import Tensors

/// The memory of computations that follow one another: each kind is rehearsed once, and its tensors lie in one block
/// for as long as it is run again.
///
/// One run at a time; tasks that compute at once have a memory each, and may share the plans.
public final class ActivationMemory<Kind: Hashable & Sendable> {
  /// Plans by the kind of computation.
  public final class Plans: Sendable {
    private let known = Lock<[Kind: ActivationPlan]>([:])

    public init() {}

    /// How many kinds have been rehearsed.
    package var count: Int { known.withLock { $0.count } }

    /// The plan of `body`, made by a rehearsal the first time.
    public func plan(_ kind: Kind, _ body: () throws -> some Any) rethrows -> ActivationPlan {
      if let plan = known.withLock({ $0[kind] }) { return plan }
      let plan = try ActivationArena.rehearse(body)
      known.withLock { $0[kind] = plan }
      return plan
    }
  }

  private let plans: Plans
  private var newest: (kind: Kind, arena: ActivationArena)?

  public init(_ plans: Plans = Plans()) {
    self.plans = plans
  }

  /// Runs `body`, which must do the same for the same kind but for what is in the tensors.
  public func run<Result>(_ kind: Kind, _ body: () throws -> Result) rethrows -> Result {
    if newest?.kind != kind {
      let plan = try plans.plan(kind, body)
      // The old block is gone before the new one comes.
      newest = nil
      newest = (kind, ActivationArena(plan))
    }
    return try newest!.arena.run(body)
  }

  /// Gives the block back, until the next run.
  public func release() {
    newest = nil
  }
}
