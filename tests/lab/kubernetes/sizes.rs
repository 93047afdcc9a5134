//! Other numbers: one to three, and on by three at a time to six.

use crate::{
    banister::Desk,
    hosts::{Lab, say},
    writer::Writer,
};

#[test]
fn one_grows_to_three_and_three_to_six() {
    let (lab, desk) = (Lab::kubernetes(1, 5, 2), Desk::new());
    for (masters, join) in [(1, 2), (3, 3)] {
        let file = lab.cluster_file_of(masters, join, "");
        let writer = Writer::start(&lab);
        let ran = desk.grow_all(&file, "all").with_code(0);
        let even = (masters + join).is_multiple_of(2);
        assert_eq!(ran.said.contains("an even number"), even, "the warning about it\n{}", ran.last());
        let written = writer.end();
        lab.check(masters + join);
        written.assert_on_each(&lab, &lab.all_masters()[..masters + join]);
        desk.grow_all(&file, "all").with_code(0).saying("nothing to do");
        say(format!("{masters} grew to {}; longest write stall {} ms", masters + join, written.stall.as_millis()));
    }
}
