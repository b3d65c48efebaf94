import Tensors

/// One evaluation that the executor asks of a model.
public struct DenoiserRequest<State: Tensor>: Sendable {
  /// The noisy image.
  public let state: State
  /// The time, of which models read the `timestep`.
  public let time: TimePoint
  /// Which image of the run it belongs to.
  public let image: Int
  /// Which condition it is to be evaluated with.
  public let branch: GuidanceBranch

  /// As a run makes it; for who calls a model by himself.
  @inlinable public init(state: State, time: TimePoint, image: Int = 0, branch: GuidanceBranch = .conditional) {
    self.state = state
    self.time = time
    self.image = image
    self.branch = branch
  }
}

/// A run as it stands after a step.
public struct SamplingProgress<State: Tensor>: Sendable {
  /// Steps completed, from 1, and steps in all. Of an adaptive run `step` is the most that any image has completed, and
  /// `stepCount` is nil, since it is not known beforehand.
  public let step: Int
  public let stepCount: Int?
  /// The time just reached, by the noisiest of the images.
  public let time: TimePoint
  /// Model evaluations so far, over all images and branches.
  public let evaluations: Int
  /// The states of all images.
  public let states: [State]

  @inlinable init(step: Int, stepCount: Int?, time: TimePoint, evaluations: Int, states: [State]) {
    self.step = step
    self.stepCount = stepCount
    self.time = time
    self.evaluations = evaluations
    self.states = states
  }
}

/// What a run starts from.
public enum SamplingStart<State: Tensor>: Sendable {
  /// Standard normal noise from each image's field, times the plan's initial scale.
  case noise
  /// Noise of unit variance that the caller made, one tensor per image, times the plan's initial scale.
  case unitVariance([State])
  /// States at the plan's first point as they are, one per image.
  case states([State])
  /// Clean images, each noised from its field to the plan's first point: alpha x₀ + sigma z. The strength of
  /// image-to-image generation is the noise level of that point.
  case images([State])

  var tensors: [State]? {
    switch self {
    case .noise: nil
    case .unitVariance(let tensors), .states(let tensors), .images(let tensors): tensors
    }
  }
}

/// An image and what it took.
public struct SamplingResult<State: Tensor>: Sendable {
  public let state: State
  /// NFE: evaluations of the model for this image, every branch of guidance counting.
  public let evaluations: Int
  /// Estimates of the local errors of its steps, where the solver makes any.
  public let stepErrors: [StepError]
  /// An estimate of how far the image is from the converged one; nil where the solver makes none.
  ///
  /// The root mean square of the sum of the local errors as tensors, each carried to the end by the flow of data of
  /// standard deviation 1/2. Errors of one direction add up and others cancel, which a sum of their sizes would not
  /// know; of the sums tried on exact mixtures this ranks images best, which is what it is made for. It knows nothing
  /// of steps without an estimate, such as a long one to sigma 0, and ranks poorly images that are all about equally
  /// far.
  public let errorEstimate: Double?
  /// Steps that an adaptive solver tried and took back; their evaluations are counted.
  public let rejectedSteps: Int

  @inlinable init(
    state: State, evaluations: Int, stepErrors: [StepError], errorEstimate: Double?, rejectedSteps: Int
  ) {
    self.state = state
    self.evaluations = evaluations
    self.stepErrors = stepErrors
    self.errorEstimate = errorEstimate
    self.rejectedSteps = rejectedSteps
  }

  /// The root mean square of a step's local error, as estimated from two results of different order.
  public struct StepError: Hashable, Sendable {
    /// The step, counted from 1.
    public let step: Int
    /// Where it ends.
    public let point: TimePoint
    public let error: Double

    @inlinable init(step: Int, point: TimePoint, error: Double) {
      self.step = step
      self.point = point
      self.error = error
    }
  }
}
