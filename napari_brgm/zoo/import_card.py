"""Model card of imported weights: what is known of them, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.text import as_markdown

if TYPE_CHECKING:
    from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
    from napari_brgm.zoo.published import PublishedNetwork

__all__ = ["import_card"]

_UNKNOWN = "not stated; ask the authors before you use or pass on these weights"


def import_card(
    prior: StyleGAN2Prior, found: PublishedNetwork, original: str, notes: dict[str, str], error: float,
    taken: tuple[str, ...] = (),
) -> str:  # fmt: skip
    """Markdown of the card.

    Parameters
    ----------
    prior, found
        The generator, and what was read.
    original : str
        Name of the published file.
    notes : dict[str, str]
        licence, source, citation, identity and original_sha256.
    error : float
        Largest difference that half precision makes, in an image of range [-1, 1].
    taken : tuple of str
        What the file does not tell and was taken for granted, a sentence each.
    """
    synthesis, mapping = prior.synthesis, prior.mapping
    assert mapping is not None
    parameters = sum(p.numel() for net in (synthesis, mapping) for p in net.parameters())
    widths = ", ".join(f"{len(getattr(synthesis, f'b{r}').conv1.bias)} at {r}" for r in synthesis.resolutions)
    clamp = "none" if synthesis.conv_clamp is None else f"+-{synthesis.conv_clamp:g}"
    clamp += " (not stated in the file)" if found.stated.clamp_assumed else ""
    average = "from the file" if "mapping.w_avg" in found.weights else "that of 10,000 z"
    rows = {
        "image": f"{prior.resolution} x {prior.resolution}, {'gray' if prior.channels == 1 else 'RGB'}",
        "network": f"StyleGAN2, architecture '{synthesis.architecture}', {parameters / 1e6:.1f} million parameters",
        "channels": widths,
        "latents": f"z {mapping.z_dim}, w {prior.latents.rank}; {prior.num_ws} w; {mapping.num_layers} mapping layers",
        "activation": f"{synthesis.activation} (mapping: {mapping.activation}), clamp {clamp}",
        "mean w for truncation": average,
    }  # fmt: skip
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    identity = f"| identity | {_cell(notes['identity'])} |\n" if notes.get("identity") else ""
    granted = "\n".join(f"- {_cell(sentence)}" for sentence in taken)
    granted = f"\n## Taken for granted\n{granted}\n" if taken else ""
    return f"""# {prior.info.name}

Imported from published weights, `{prior.info.name}.safetensors`.
**Research only. What it draws is synthetic; it is not for diagnosis.**

## Origin
| what | as given |
|---|---|
| file | `{_cell(original)}`, {found.format}, sha256 `{notes["original_sha256"]}` |
{identity}| source | {_cell(notes["source"]) or "not stated"} |
| licence | {_cell(notes["licence"]) or _UNKNOWN} |
| citation | {_cell(notes["citation"]) or "not stated"} |

## What is in the file
| part | what |
|---|---|
{table}

float16 (latent statistics float32), safetensors: no code. The published file was read as data; no code in it was run.
The latent statistics are mean and covariance of w for 10,000 z. Half precision changes the image by at most
{error:.2g} in its range of [-1, 1] ({127.5 * error:.2g} grey levels of 0..255), as measured on four images.
{granted}
## Intended use and limits
What the weights were trained on, and how well they draw it, is not in the file: read what its authors say. The pixel
size, the grey level of bright tissue and what the generator cannot draw are unknown; restorations use plain defaults
for them, and variances are not calibrated.
"""


def _cell(text: str) -> str:
    """Text on one line, for a cell of a table."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return as_markdown(" ".join(printable.replace("|", "/").replace("`", "'").split()))
