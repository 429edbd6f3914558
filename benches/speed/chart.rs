//! Line charts as SVG: axes, units and a legend, and nothing else.

use std::fmt::Write as _;

/// A chart. Both axes begin at 0, but for a logarithmic one.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    /// Where the x axis is marked, and with what. Logarithmic if it is given.
    pub(crate) x_marks: Option<Vec<(f64, String)>>,
    pub(crate) lines: Vec<Line>,
}

/// A line and its name in the legend.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
/// Around the field: left, top, right, bottom. The legend is on the right.
const MARGINS: [f64; 4] = [70.0, 40.0, 190.0, 50.0];
/// Told apart by those who see no difference of red and green, too (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const MARKS: u32 = 5;

impl Chart {
    pub(crate) fn to_svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n\
             <title>{0}</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{1}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{0}</text>\n",
            self.title, MARGINS[0]
        );
        let scale = Scale::of(self);
        self.axes(&mut svg, &scale);
        for (number, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let points = line.points.iter().map(|point| scale.place(*point));
            let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            add(
                &mut svg,
                &format!(
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" \
                     stroke-width=\"1.8\"/>",
                    points.join(" ")
                ),
            );
            let (x, y) = (WIDTH - MARGINS[2] + 16.0, MARGINS[1] + 20.0 * index(number) + 8.0);
            add(
                &mut svg,
                &format!(
                    "<line x1=\"{x}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"{colour}\" \
                 stroke-width=\"3\"/>",
                    x + 20.0
                ),
            );
            add(&mut svg, &text((x + 26.0, y + 4.0), "start", &line.name));
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String, scale: &Scale) {
        let (left, right) = (MARGINS[0], WIDTH - MARGINS[2]);
        let (top, bottom) = (MARGINS[1], HEIGHT - MARGINS[3]);
        for mark in 0..=MARKS {
            let value = scale.y_max * f64::from(mark) / f64::from(MARKS);
            let y = bottom - (bottom - top) * f64::from(mark) / f64::from(MARKS);
            add(svg, &line((left, y), (right, y), "#ddd"));
            add(svg, &text((left - 8.0, y + 4.0), "end", &format!("{value:.0}")));
        }
        let linear = || {
            let at = |mark| scale.x.1 * f64::from(mark) / f64::from(MARKS);
            (0..=MARKS).map(|mark| (at(mark), format!("{:.1}", at(mark)))).collect()
        };
        for (value, name) in self.x_marks.clone().unwrap_or_else(linear) {
            let (x, _) = scale.place((value, 0.0));
            add(svg, &line((x, bottom), (x, bottom + 5.0), "#333"));
            add(svg, &text((x, bottom + 20.0), "middle", &name));
        }
        add(svg, &line((left, top), (left, bottom), "#333"));
        add(svg, &line((left, bottom), (right, bottom), "#333"));
        let middle = f64::midpoint(left, right);
        add(svg, &text((middle, HEIGHT - 10.0), "middle", &self.x_label));
        let y = f64::midpoint(top, bottom);
        add(
            svg,
            &format!(
                "<text transform=\"translate(18 {y}) rotate(-90)\" \
                 text-anchor=\"middle\">{}</text>",
                self.y_label
            ),
        );
    }
}

/// Where values are on the page.
struct Scale {
    /// Of the x axis; in logarithms if it is logarithmic.
    x: (f64, f64),
    y_max: f64,
    logarithmic: bool,
}

impl Scale {
    fn of(chart: &Chart) -> Self {
        let logarithmic = chart.x_marks.is_some();
        let points = || chart.lines.iter().flat_map(|line| &line.points);
        let on_axis = |x: f64| if logarithmic { x.log2() } else { x };
        let xs = || points().map(|(x, _)| on_axis(*x));
        let x_min = if logarithmic { xs().fold(f64::INFINITY, f64::min) } else { 0.0 };
        let x_max = xs().fold(x_min + 1e-9, f64::max);
        let y_max = points().map(|(_, y)| *y).fold(1.0, f64::max);
        // Up to the next number that divides well.
        let step = 10f64.powf(y_max.log10().floor()) / 2.0;
        Self { x: (x_min, x_max), y_max: (y_max / step).ceil() * step, logarithmic }
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let x = if self.logarithmic { x.log2() } else { x };
        let part = (x - self.x.0) / (self.x.1 - self.x.0);
        let (width, height) = (WIDTH - MARGINS[0] - MARGINS[2], HEIGHT - MARGINS[1] - MARGINS[3]);
        (MARGINS[0] + part * width, HEIGHT - MARGINS[3] - y / self.y_max * height)
    }
}

fn add(svg: &mut String, element: &str) {
    writeln!(svg, "{element}").expect("a string");
}

fn line((x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) -> String {
    format!(
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    )
}

fn text((x, y): (f64, f64), anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>")
}

#[expect(clippy::cast_precision_loss, reason = "a legend is short")]
fn index(number: usize) -> f64 {
    number as f64
}
