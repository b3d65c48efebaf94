import Checkpoints
import Foundation

/// The bundled text-to-image model: 64x64 pictures of letters and digits, in many typefaces and eight colours.
///
/// It was trained from nothing by the programs in Tools/train-glyphs, which also hold its measurements. It knows
/// prompts such as `a bold italic red letter A on a white background, serif`.
public enum Glyphs {
  /// The variant that predicts noise, for every solver but those of flow models.
  ///
  /// - Throws: `CheckpointError` where the package's resources are gone.
  public static func epsilon() throws(CheckpointError) -> ModelFolder {
    try ModelFolder(url: url("glyphs"))
  }

  /// The rectified-flow variant; its tokenizer, text encoder and autoencoder are those of ``epsilon()``.
  ///
  /// - Throws: `CheckpointError` where the package's resources are gone.
  public static func flow() throws(CheckpointError) -> ModelFolder {
    try ModelFolder(url: url("glyphs-flow"), sharing: url("glyphs"))
  }

  private static func url(_ name: String) -> URL {
    (Bundle.module.resourceURL ?? Bundle.module.bundleURL).appending(path: name, directoryHint: .isDirectory)
  }
}
