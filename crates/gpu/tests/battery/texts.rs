//! The programs' texts: valid for the features that they claim, and translatable for Metal and DirectX.

use huacaya_gpu::{Access, HEADS_TOGETHER, Kv, Program};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::material::formats;

fn programs() -> Vec<Program> {
    let mut all = vec![Program::Swiglu, Program::Add, Program::Top];
    all.extend([true, false].map(|subgroups| Program::Norm { subgroups }));
    for format in formats() {
        all.extend([Program::Tiled { format }, Program::Rows { format }]);
        for columns in [1, 2, 4, 8] {
            all.extend([true, false].map(|subgroups| Program::Product { format, columns, subgroups }));
        }
    }
    for head_size in [32, 64, 96, 128] {
        all.push(Program::Combine { head_size });
        for kv in [Kv::F16, Kv::Q8_0] {
            all.extend([Program::Turn { head_size, kv }, Program::Flash { head_size, kv }]);
            all.extend((1..=HEADS_TOGETHER as u32).map(|together| Program::Attend { head_size, together, kv }));
        }
    }
    all
}

fn uses_subgroups(program: &Program) -> bool {
    matches!(program, Program::Product { subgroups: true, .. } | Program::Norm { subgroups: true })
}

#[test]
fn every_text_is_valid_and_says_what_is_bound_to_it() {
    for program in programs() {
        let text = program.text();
        let module = naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|error| panic!("{program:?}: {}", error.emit_to_string(&text)));
        // Reading halves from words is core everywhere; the capability is wgpu's name for a driver that can.
        let mut claimed = Capabilities::IMMEDIATES | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        claimed.set(Capabilities::SUBGROUP, uses_subgroups(&program));
        let mut validator = Validator::new(ValidationFlags::all(), claimed);
        validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
        validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
        let checked = validator.validate(&module);
        let info = checked.unwrap_or_else(|error| panic!("{program:?}: {}", error.emit_to_string(&text)));
        let mut found: Vec<(u32, Access)> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| {
                let naga::AddressSpace::Storage { access } = variable.space else { return None };
                let writes = access.contains(naga::StorageAccess::STORE);
                Some((variable.binding.as_ref()?.binding, if writes { Access::Write } else { Access::Read }))
            })
            .collect();
        found.sort_by_key(|(binding, _)| *binding);
        let found: Vec<Access> = found.into_iter().map(|(_, access)| access).collect();
        assert_eq!(found, program.accesses(), "{program:?}");
        translate(&program, &module, &info);
    }
}

/// As wgpu does it on a Mac and on Windows.
fn translate(program: &Program, module: &naga::Module, info: &naga::valid::ModuleInfo) {
    let options = naga::back::msl::Options { lang_version: (2, 4), ..Default::default() };
    let metal = naga::back::msl::write_string(module, info, &options, &Default::default());
    assert!(metal.is_ok(), "{program:?} for Metal: {:?}", metal.err());
    let options = naga::back::hlsl::Options {
        shader_model: naga::back::hlsl::ShaderModel::V6_0,
        immediates_target: Some(naga::back::hlsl::BindTarget::default()),
        special_constants_binding: Some(naga::back::hlsl::BindTarget { space: 1, ..Default::default() }),
        ..Default::default()
    };
    let (mut text, chosen) = (String::new(), naga::back::hlsl::PipelineOptions::default());
    let direct = naga::back::hlsl::Writer::new(&mut text, &options, &chosen).write(module, info, None);
    assert!(direct.is_ok(), "{program:?} for DirectX: {:?}", direct.err());
}
